//go:build !linux

package qemu

import "syscall"

var endWithParent *syscall.SysProcAttr

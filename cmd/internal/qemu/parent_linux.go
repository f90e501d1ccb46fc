package qemu

import "syscall"

// endWithParent leaves no VM behind, whatever becomes of the process that started it.
var endWithParent = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}

//go:build race

package extraconfig_test

const raceDetector = true

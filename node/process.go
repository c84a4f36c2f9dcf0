package node

import (
	"os"
	"runtime/debug"
)

// garbagePercent is by how much the heap may grow between two collections. A node's heap is small
// beside what it allocates for each check, so that with the usual 100 a busy one collects many
// times a second, for a tenth of its processors; an idle one stays far below its budget.
const garbagePercent = 400

// TuneProcess sets what a process that is a node wants of the Go runtime, unless the environment
// says otherwise (GOGC). It concerns the whole process, so that it is for a program's main and not
// for New.
func TuneProcess() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(garbagePercent)
	}
}

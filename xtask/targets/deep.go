// A known chain of calls in goroutines that wait, and one that is in a system call.
package main

import (
	"fmt"
	"syscall"
	"time"
)

//go:noinline
func gammaWaits(pipe int) {
	var buffer [1]byte
	syscall.Read(pipe, buffer[:])
}

//go:noinline
func betaCalls(depth int, pipe int) {
	if depth > 0 {
		betaCalls(depth-1, pipe)
	} else {
		gammaWaits(pipe)
	}
}

func main() {
	var pipe [2]int
	syscall.Pipe(pipe[:])
	for i := 0; i < 4; i++ {
		go betaCalls(i, pipe[0])
	}
	time.Sleep(300 * time.Millisecond)
	fmt.Println("ready")
	betaCalls(6, pipe[0])
}

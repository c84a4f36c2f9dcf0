package disk

// Room is how much room there is on the disk that holds a folder, in bytes.
type Room struct {
	// Free is what the program may still write, Total what the disk holds. Both are 0 where the system
	// does not say.
	Free, Total uint64
}

// Known tells whether the system has said it.
func (r Room) Known() bool { return r.Total > 0 }

// Free asks how much room there is on the disk that holds a folder or file. The zero Room says that
// it is not known.
func Free(path string) (Room, error) { return free(path) }

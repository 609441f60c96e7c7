// Package powercut cuts the power under a journal and looks at what is left.
//
// The store is on an ext4 file system in a loop-mounted image. A child process
// appends and prints what was acknowledged. It is stopped; once none of its
// threads runs, the file system is shut down without flushing its log (ext4
// ioctl EXT4_IOC_SHUTDOWN, EXT4_GOING_FLAGS_NOLOGFLUSH), so whatever was only
// in the page cache is gone, as when the power fails; the child is killed, the
// image mounted again, the journal opened, and every acknowledged message must
// be there. The same rig fills a disk.
//
// It needs root, a loop device and mkfs.ext4.
package powercut

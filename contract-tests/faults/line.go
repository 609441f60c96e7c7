package main

import "time"

// lined is what happens to a line of the kernel's own between site and hub. It needs root.
func lined(r *run) error {
	l := r.sys.line
	behind := func(name string, lasts time.Duration, begin func() error) fault {
		return fault{"line " + name, lasts, true,
			func(*run) error { return begin() },
			func(*run) error {
				if err := r.sys.ready(); err != nil { // whatever the line, the site can accept
					return err
				}
				return l.Restore()
			}}
	}
	for _, f := range []fault{
		behind("of 64 kbit/s, 400 ms in its queue", 10*time.Second, func() error { return l.Slow("64kbit", "400ms") }),
		behind("pulled", 12*time.Second, l.Pull),
	} {
		if err := r.fault(f, f.lasts); err != nil {
			return err
		}
	}
	return nil
}

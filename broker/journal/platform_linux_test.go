package journal

import (
	"os"
	"strings"
	"testing"
)

func TestMountOptionsAreFound(t *testing.T) {
	t.Parallel()
	for _, dir := range []string{"/", "/proc", os.TempDir()} {
		if options, err := mountOptions(dir); err != nil || !strings.Contains(options, "r") {
			t.Errorf("%s: %q, %v", dir, options, err)
		}
	}
}

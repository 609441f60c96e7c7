package hub

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// ErrWrongKey says that the store was made with another key, or with none.
var ErrWrongKey = errors.New("wrong encryption key")

const canaryLen = 16 + sha256.Size // nonce, HMAC of it under the key

// checkKey tells whether key is the one that the store was made with. It must
// be asked before the server starts.
func checkKey(store, key string) error {
	data, err := os.ReadFile(filepath.Join(store, "canary"))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if _, serr := os.Stat(filepath.Join(store, "jetstream")); serr == nil && key != "" {
			return fmt.Errorf("%w: the store was made without encryption: give no key, or move the streams to a new store (nats account backup, restore)", ErrWrongKey)
		}
		return nil
	case err != nil:
		return err
	case len(data) != canaryLen:
		return fmt.Errorf("%s/canary is damaged: restore it from a copy of the store", store)
	case key == "":
		return fmt.Errorf("%w: the store is encrypted and no key is given: give the key that it was made with", ErrWrongKey)
	case sings(data, key):
		return nil
	}
	return fmt.Errorf("%w: the store was made with another key: give that one. Nothing was touched", ErrWrongKey)
}

// keepCanary writes the canary of the key that the store now has.
func keepCanary(store, key string) error {
	if key == "" {
		return nil
	}
	path := filepath.Join(store, "canary")
	if data, err := os.ReadFile(path); err == nil && sings(data, key) {
		return nil
	}
	nonce := make([]byte, canaryLen-sha256.Size)
	_, _ = rand.Read(nonce) // never fails since Go 1.24
	return replaceFile(path, append(nonce, song(nonce, key)...))
}

func sings(canary []byte, key string) bool {
	n := canaryLen - sha256.Size
	return len(canary) == canaryLen && hmac.Equal(canary[n:], song(canary[:n], key))
}

func song(nonce []byte, key string) []byte {
	h := hmac.New(sha256.New, []byte(key))
	h.Write([]byte("vagus hub store"))
	h.Write(nonce)
	return h.Sum(nil)
}

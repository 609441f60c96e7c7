package tree

// SplitJSON returns the objects of an array, or those that follow one another
// with or without white space between them (JSON lines), as parts of body. The
// bounds of o hold for each object, Bytes for the body. Errors are those of
// ReadJSON.
func SplitJSON(body []byte, o JSONLimits) ([][]byte, error) {
	r, err := newJSONReader(body, nil, o)
	if err != nil {
		return nil, err
	}
	var parts [][]byte
	object := func() error {
		if r.peek() != '{' {
			return r.fail(r.i, "a JSON object is expected")
		}
		start := r.i
		r.left = r.limits.Values
		err := r.skip(0)
		parts = append(parts, body[start:r.i:r.i])
		return err
	}
	if r.peek() != '[' {
		for r.i < len(r.text) {
			if err := object(); err != nil {
				return nil, err
			}
			r.space()
		}
		return parts, nil
	}
	r.i++
	r.space()
	more := r.peek() != ']'
	if !more {
		r.i++
	}
	for more {
		if err := object(); err != nil {
			return nil, err
		}
		if more, err = r.next(']'); err != nil {
			return nil, err
		}
	}
	r.space()
	if r.i < len(r.text) {
		return nil, r.fail(r.i, "something follows the array")
	}
	return parts, nil
}

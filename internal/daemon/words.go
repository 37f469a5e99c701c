package daemon

import "fmt"

// pensWords is err behind the words that pen prints in its place and that scripts may look for.
func pensWords(words string, err error) error { return fmt.Errorf("%s: %w", words, err) }

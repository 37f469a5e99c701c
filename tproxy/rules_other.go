//go:build !linux

package tproxy

import "errors"

// Rules are a Plan in place.
type Rules struct{}

// Apply is an error: see pf(4) for the rules of this system, divert-reply.
func (*Plan) Apply() (*Rules, error) { return nil, errors.ErrUnsupported }

// Coarse is false.
func (*Rules) Coarse() bool { return false }

// Close does nothing.
func (*Rules) Close() error { return nil }

//go:build !cgo

package process

const withC = false

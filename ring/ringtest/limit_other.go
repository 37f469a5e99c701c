//go:build !unix

package ringtest

// limitCases are empty: there is no limit to lower.
var limitCases []testCase

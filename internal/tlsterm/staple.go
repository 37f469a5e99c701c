package tlsterm

import (
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"golang.org/x/crypto/ocsp"
)

// clockSkew is how far the clock of an OCSP responder may be ahead of ours.
const clockSkew = 5 * time.Minute

var errForeign = errors.New("it is about another certificate")

// checkStaple judges an OCSP response for leaf at the time now, and tells until when it holds; zero means that it does
// not say. The signature counts if issuer is not nil. RFC 6960, 3.2 and 4.2.2.1.
func checkStaple(der []byte, leaf, issuer *x509.Certificate, now time.Time) (until time.Time, err error) {
	all, err := ocsp.ParseResponse(der, nil)
	if err == nil && all.SerialNumber.Cmp(leaf.SerialNumber) != 0 {
		return until, errForeign
	}
	r, err := ocsp.ParseResponseForCert(der, leaf, issuer)
	switch {
	case err != nil:
		return until, err
	case r.ThisUpdate.After(now.Add(clockSkew)):
		return until, fmt.Errorf("it holds from %s on only", r.ThisUpdate.Format(time.DateTime))
	case !r.NextUpdate.IsZero() && !r.NextUpdate.After(now):
		return until, fmt.Errorf("it is stale since %s", r.NextUpdate.Format(time.DateTime))
	}
	return r.NextUpdate, nil
}

// issuerOf is the certificate among all that has signed leaf; nil if none has.
func issuerOf(leaf *x509.Certificate, all []*x509.Certificate) *x509.Certificate {
	for _, ca := range all {
		if leaf.CheckSignatureFrom(ca) == nil {
			return ca
		}
	}
	return nil
}

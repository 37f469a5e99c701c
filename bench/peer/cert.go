package peer

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"time"
)

// rsaBits is the length of RSA keys: what certificates that have one have most often.
const rsaBits = 2048

// WriteCert makes a certificate with an RSA key, or else an ECDSA key on P-256, in the one file that every peer reads,
// and returns its path.
func WriteCert(dir string, withRSA bool) (string, error) {
	key, err := newKey(withRSA)
	if err != nil {
		return "", err
	}
	now := time.Now()
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"bench"}, NotBefore: now.Add(-time.Hour),
		NotAfter: now.Add(7 * 24 * time.Hour)}
	cert, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		return "", err
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return "", err
	}
	both := append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})...)
	path := filepath.Join(dir, "site.pem")
	return path, os.WriteFile(path, both, 0o600)
}

func newKey(withRSA bool) (crypto.Signer, error) {
	if withRSA {
		return rsa.GenerateKey(rand.Reader, rsaBits)
	}
	return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
}

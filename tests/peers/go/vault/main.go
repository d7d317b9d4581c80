// Vault as a test peer: upstream's core, HTTP API and transit engine, unsealed, in memory.
//
// It takes the arguments of `vault server -dev` that the tests use, so that a real vault (or bao) can stand in its place. Upstream's own
// command brings in hundreds of plugins that no test needs. Left out: every other engine, the store of key-values too.
package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"flag"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/vault/helper/namespace"
	vaulthttp "github.com/hashicorp/vault/http"
	"github.com/hashicorp/vault/internalshared/configutil"
	"github.com/hashicorp/vault/sdk/helper/consts"
	"github.com/hashicorp/vault/sdk/logical"
	"github.com/hashicorp/vault/sdk/physical/inmem"
	"github.com/hashicorp/vault/vault"
	"github.com/hashicorp/vault/version"
	"peers/vault/transit"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "vault:", err)
		os.Exit(1)
	}
}

func run() error {
	if len(os.Args) < 2 || os.Args[1] != "server" {
		_, err := fmt.Println("Vault v" + version.Version + ", the core with the transit engine alone: use vault server -dev")
		return err
	}
	flags := flag.NewFlagSet("server", flag.ExitOnError)
	flags.Bool("dev", false, "in memory, and unsealed")
	flags.Bool("dev-no-store-token", false, "leave ~/.vault-token alone, which it is anyhow")
	flags.Bool("dev-no-kv", false, "no store of key-values, of which there is none anyhow")
	address := flags.String("dev-listen-address", "127.0.0.1:8200", "where to listen")
	token := flags.String("dev-root-token-id", "", "the root token")
	withTLS := flags.Bool("dev-tls", false, "listen with a certificate of an authority made for it")
	folder := flags.String("dev-tls-cert-dir", "", "where to leave vault-ca.pem")
	if err := flags.Parse(os.Args[2:]); err != nil {
		return err
	}
	core, err := start(*token)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", *address)
	if err != nil {
		return err
	}
	if *withTLS {
		certificate, err := certificate(filepath.Join(*folder, "vault-ca.pem"))
		if err != nil {
			return err
		}
		listener = tls.NewListener(listener, &tls.Config{Certificates: []tls.Certificate{certificate}})
	}
	properties := &vault.HandlerProperties{Core: core, ListenerConfig: &configutil.Listener{Address: *address}}
	return http.Serve(listener, vaulthttp.Handler.Handler(properties))
}

// start makes an unsealed core whose root token is `token`.
func start(token string) (*vault.Core, error) {
	logger := hclog.New(&hclog.LoggerOptions{Level: hclog.Warn, Output: os.Stderr})
	storage, err := inmem.NewInmem(nil, logger)
	if err != nil {
		return nil, err
	}
	core, err := vault.NewCore(&vault.CoreConfig{
		Physical:        storage,
		LogicalBackends: map[string]logical.Factory{"transit": transit.Factory},
		BuiltinRegistry: plugins{},
		DisableMlock:    true,
		Logger:          logger,
	})
	if err != nil {
		return nil, err
	}
	ctx := namespace.RootContext(context.Background())
	made, err := core.Initialize(ctx, &vault.InitParams{BarrierConfig: &vault.SealConfig{SecretShares: 1, SecretThreshold: 1, StoredShares: 1}, RecoveryConfig: &vault.SealConfig{}})
	if err != nil {
		return nil, err
	}
	for _, share := range made.SecretShares {
		if _, err := core.Unseal(share); err != nil {
			return nil, err
		}
	}
	request := &logical.Request{
		ID: "root", Operation: logical.UpdateOperation, ClientToken: made.RootToken, Path: "auth/token/create",
		Data: map[string]any{"id": token, "policies": []string{"root"}, "no_parent": true, "no_default_policy": true},
	}
	answer, err := core.HandleRequest(ctx, request)
	if err != nil || answer.IsError() {
		return nil, fmt.Errorf("the root token cannot be made: %v %v", err, answer)
	}
	return core, nil
}

// plugins says that there are none but what the core was given.
type plugins struct{}

func (plugins) Contains(name string, kind consts.PluginType) bool {
	return name == "transit" && kind == consts.PluginTypeSecrets
}

func (p plugins) Get(name string, kind consts.PluginType) (func() (any, error), bool) {
	return func() (any, error) { return logical.Factory(transit.Factory), nil }, p.Contains(name, kind)
}

func (p plugins) Keys(kind consts.PluginType) []string {
	if p.Contains("transit", kind) {
		return []string{"transit"}
	}
	return nil
}

func (p plugins) DeprecationStatus(name string, kind consts.PluginType) (consts.DeprecationStatus, bool) {
	return consts.Supported, p.Contains(name, kind)
}

func (plugins) IsBuiltinEntPlugin(string, consts.PluginType) bool { return false }

// certificate makes one for this machine, and leaves its authority's at `path`.
func certificate(path string) (tls.Certificate, error) {
	none := tls.Certificate{}
	key := func() (*ecdsa.PrivateKey, error) { return ecdsa.GenerateKey(elliptic.P256(), rand.Reader) }
	authorityKey, err := key()
	if err != nil {
		return none, err
	}
	now := time.Now()
	authority := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: now.Add(-time.Hour), NotAfter: now.Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	authority.Subject.CommonName = "authority of a test"
	signed, err := x509.CreateCertificate(rand.Reader, authority, authority, &authorityKey.PublicKey, authorityKey)
	if err != nil {
		return none, err
	}
	serverKey, err := key()
	if err != nil {
		return none, err
	}
	server := &x509.Certificate{
		SerialNumber: big.NewInt(2), NotBefore: authority.NotBefore, NotAfter: authority.NotAfter,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, DNSNames: []string{"localhost"},
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	server.Subject.CommonName = "localhost"
	leaf, err := x509.CreateCertificate(rand.Reader, server, authority, &serverKey.PublicKey, authorityKey)
	if err != nil {
		return none, err
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: signed})
	return tls.Certificate{Certificate: [][]byte{leaf}, PrivateKey: serverKey}, os.WriteFile(path, text, 0o600)
}

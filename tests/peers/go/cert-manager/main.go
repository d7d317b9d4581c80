// Cert-manager as a test peer: the controller (CA and self-signed issuers), the webhook and the CA injector of upstream's own packages.
//
// Upstream's commands are modules that are not served, so this is one program that takes its role from its own name
// (cert-manager-controller, -webhook, -cainjector) or its first argument. It accepts the arguments of upstream's chart and acts on those
// that the tests' clusters need. Left out: ACME, Vault and Venafi issuers, and electing a leader, so one replica of each; the controller's
// metrics are empty.
// The module's path lies inside upstream's because Go lets only such a module use upstream's internal packages.
package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/cert-manager/cert-manager/internal/apis/config/shared"
	webhookconfig "github.com/cert-manager/cert-manager/internal/apis/config/webhook"
	"github.com/cert-manager/cert-manager/internal/webhook"
	certmanager "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	"github.com/cert-manager/cert-manager/pkg/controller"
	"github.com/cert-manager/cert-manager/pkg/controller/cainjector"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificate-shim/ingresses"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificaterequests/approver"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificaterequests/ca"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificaterequests/selfsigned"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificates/issuing"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificates/keymanager"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificates/readiness"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificates/requestmanager"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificates/revisionmanager"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificates/trigger"
	_ "github.com/cert-manager/cert-manager/pkg/controller/clusterissuers"
	_ "github.com/cert-manager/cert-manager/pkg/controller/issuers"
	"github.com/cert-manager/cert-manager/pkg/healthz"
	_ "github.com/cert-manager/cert-manager/pkg/issuer/ca"
	_ "github.com/cert-manager/cert-manager/pkg/issuer/selfsigned"
	logf "github.com/cert-manager/cert-manager/pkg/logs"
	"github.com/cert-manager/cert-manager/pkg/util"
	apiextensions "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/clientcmd"
	apiregistration "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"
)

// metrics is where upstream's manifest says that each role has them.
const metrics = "0.0.0.0:9402"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	util.AppVersion = version()
	role := strings.TrimPrefix(filepath.Base(os.Args[0]), "cert-manager-")
	if len(os.Args) > 1 && (os.Args[1] == "version" || os.Args[1] == "--version") {
		fmt.Println("cert-manager", util.AppVersion)
		return
	}
	if len(os.Args) > 1 && !strings.HasPrefix(os.Args[1], "-") {
		role = os.Args[1]
	}
	run, known := map[string]func(context.Context) error{"controller": runController, "webhook": runWebhook, "cainjector": runInjector}[role]
	if !known {
		fmt.Fprintln(os.Stderr, "usage: cert-manager controller|webhook|cainjector|version [upstream's flags]")
		os.Exit(2)
	}
	ctrl.SetLogger(logf.Log)
	logf.Log.Info("kthw test peer", "role", role, "version", util.AppVersion)
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

// version is that of upstream's module in this program, as Go itself noted it.
func version() string {
	if information, known := debug.ReadBuildInfo(); known {
		for _, module := range information.Deps {
			if module.Path == "github.com/cert-manager/cert-manager" {
				return module.Version
			}
		}
	}
	return "unknown"
}

// flags are the values of --name=VALUE on the command line, in their order; a comma separates values too.
func flags(name string) []string {
	var values []string
	for _, argument := range os.Args {
		if value, found := strings.CutPrefix(argument, "--"+name+"="); found {
			values = append(values, strings.Split(value, ",")...)
		}
	}
	return values
}

// flag is the last value of --name=VALUE.
func flag(name, otherwise string) string {
	if values := flags(name); len(values) > 0 {
		return values[len(values)-1]
	}
	return otherwise
}

func port(name string, otherwise int) (int32, error) {
	number, err := strconv.ParseUint(flag(name, strconv.Itoa(otherwise)), 10, 16)
	if err != nil {
		return 0, fmt.Errorf("--%s is no port: %w", name, err)
	}
	return int32(number), nil
}

func runController(ctx context.Context) error {
	options := controller.ContextOptions{
		Kubeconfig: flag("kubeconfig", ""), KubernetesAPIQPS: 50, KubernetesAPIBurst: 100,
		IssuerOptions: controller.IssuerOptions{ClusterResourceNamespace: flag("cluster-resource-namespace", "cert-manager")},
		CertificateOptions: controller.CertificateOptions{
			CertificateRequestMinimumBackoffDuration: time.Second, CertificateRequestMaximumBackoffDuration: time.Minute},
		IngressShimOptions: controller.IngressShimOptions{DefaultAutoCertificateAnnotations: []string{"kubernetes.io/tls-acme"}},
		ACMEOptions:        controller.ACMEOptions{},
	}
	factory, err := controller.NewContextFactory(ctx, options)
	if err != nil {
		return err
	}
	context, err := factory.Build()
	if err != nil {
		return err
	}
	ended := make(chan error, 1)
	listener, err := net.Listen("tcp", flag("healthz-listen-address", "0.0.0.0:9403"))
	if err != nil {
		return fmt.Errorf("cannot answer the liveness probe: %w", err)
	}
	go func() { ended <- healthz.NewServer(time.Minute).Start(ctx, listener) }()
	go func() { ended <- http.ListenAndServe(metrics, http.NewServeMux()) }()
	for name, construct := range controller.Known() {
		one, err := construct(factory)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		go func() { ended <- one.Run(5, ctx) }()
	}
	context.SharedInformerFactory.Start(ctx.Done())
	context.KubeSharedInformerFactory.Start(ctx.Done())
	context.HTTP01ResourceMetadataInformersFactory.Start(ctx.Done())
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
		return nil
	}
}

func runWebhook(ctx context.Context) error {
	secure, notSecure := port("secure-port", 6443)
	health, notHealth := port("healthz-port", 6080)
	if err := errors.Join(notSecure, notHealth); err != nil {
		return err
	}
	server, err := webhook.NewCertManagerWebhookServer(logf.Log, webhookconfig.WebhookConfiguration{
		KubeConfig: flag("kubeconfig", ""), SecurePort: secure, HealthzPort: health, MetricsListenAddress: metrics,
		TLSConfig: shared.TLSConfig{Dynamic: shared.DynamicServingConfig{
			SecretNamespace: flag("dynamic-serving-ca-secret-namespace", "cert-manager"),
			SecretName:      flag("dynamic-serving-ca-secret-name", "cert-manager-webhook-ca"),
			DNSNames:        flags("dynamic-serving-dns-names"), LeafDuration: 7 * 24 * time.Hour}},
	})
	if err != nil {
		return err
	}
	return server.Run(ctx)
}

func runInjector(ctx context.Context) error {
	configuration, err := clientcmd.BuildConfigFromFlags("", flag("kubeconfig", ""))
	if err != nil {
		return err
	}
	kinds := runtime.NewScheme()
	builder := runtime.NewSchemeBuilder(scheme.AddToScheme, apiextensions.AddToScheme, apiregistration.AddToScheme, certmanager.AddToScheme)
	if err := builder.AddToScheme(kinds); err != nil {
		return err
	}
	// The injector applies server-side under the name that its user agent begins with.
	configuration = util.RestConfigWithUserAgent(configuration, "cainjector")
	manager, err := ctrl.NewManager(configuration, ctrl.Options{Scheme: kinds, Metrics: metricsserver.Options{BindAddress: metrics}})
	if err != nil {
		return err
	}
	all := map[string]bool{}
	for _, kind := range []string{"mutatingwebhookconfiguration", "validatingwebhookconfiguration", "apiservice", "customresourcedefinition"} {
		all[kind] = true
	}
	if err := cainjector.RegisterAllInjectors(ctx, manager, cainjector.SetupOptions{EnableCertificatesDataSource: true, EnabledReconcilersFor: all}); err != nil {
		return err
	}
	return manager.Start(ctx)
}

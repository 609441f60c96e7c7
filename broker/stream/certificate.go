package stream

// A CertificateRequest is what a site or a worker says, as JSON, of what it connects with,
// and asks whether that is to be renewed. It holds nothing secret.
type CertificateRequest struct {
	Name        string `json:"name"`        // of the site, or of the worker's process
	Certificate string `json:"certificate"` // that it connects with; PEM
	CA          string `json:"ca"`          // the authorities that it trusts; PEM
	Request     string `json:"request"`     // for a new certificate of the same key: PKCS #10 (RFC 2986), PEM
}

// A CertificateAnswer is what the hub says. What is empty stays as it is.
type CertificateAnswer struct {
	CA          string `json:"ca,omitempty"`          // to trust from now on; PEM. To be stored before the certificate
	Certificate string `json:"certificate,omitempty"` // to connect with from now on; PEM
	Again       int64  `json:"again"`                 // ask again after so many milliseconds
	Error       string `json:"error,omitempty"`       // the request can not be answered, and why
}

// CertificateMax bounds a request and an answer, in bytes.
const CertificateMax = 64 << 10

// SiteCertificate is where a site asks; the answer comes from each server of the hub, and the first counts.
func SiteCertificate(site string) string { return "certificate.site." + site }

// WorkerCertificate is where a tenant's workers ask.
const WorkerCertificate = "certificate.worker"

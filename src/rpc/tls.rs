//! TLS on the `server` port: what to offer, whom to trust. Certificates and keys come in as rustls takes them; where
//! they come from is the agent's business.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, ServerConfig, SignatureScheme};

/// TLS as it is now; replaced as a whole at a reload.
#[derive(Clone, Debug, Default)]
pub struct Tls {
    /// For connections that begin with byte 3; `None`: they are closed.
    pub accept: Option<Arc<ServerConfig>>,
    /// For connections that begin with byte 7: no certificate of the client is asked for.
    pub accept_open: Option<Arc<ServerConfig>>,
    /// `verify_incoming`, `verify_incoming_rpc`: close what comes without TLS.
    pub require_incoming: bool,
    /// `verify_outgoing`: dial with TLS.
    pub connect: Option<Connect>,
}

/// How to dial.
#[derive(Clone, Debug)]
pub struct Connect {
    /// Made by [`connect_config`].
    pub config: Arc<ClientConfig>,
    /// `domain`, without dots around it; servers are named `server.<datacenter>.<domain>`.
    pub domain: String,
}

/// A certificate with its key.
#[derive(Debug)]
pub struct Identity {
    /// The certificate, then those between it and the root.
    pub chain: Vec<CertificateDer<'static>>,
    /// Its key.
    pub key: PrivateKeyDer<'static>,
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// For accepting. With `clients`, who connects must show a certificate that chains to one of them.
///
/// # Errors
/// If key and certificate do not fit, or the roots are none.
pub fn accept_config(
    identity: Identity,
    clients: Option<Arc<RootCertStore>>,
) -> Result<ServerConfig, rustls::Error> {
    let config = ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions()?;
    let config = match clients {
        Some(roots) => {
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider()).build();
            let verifier = verifier.map_err(|error| rustls::Error::General(error.to_string()))?;
            config.with_client_cert_verifier(verifier)
        }
        None => config.with_no_client_auth(),
    };
    config.with_single_cert(identity.chain, identity.key)
}

/// For dialling. The server's certificate must chain to one of `roots`; with `verify_name` it must also be that of a
/// server of the datacenter (`verify_server_hostname`), or any certificate of the same roots would do.
///
/// # Errors
/// If key and certificate do not fit, or the roots are none.
pub fn connect_config(
    roots: Arc<RootCertStore>,
    identity: Option<Identity>,
    verify_name: bool,
) -> Result<ClientConfig, rustls::Error> {
    let config = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions()?;
    let config = if verify_name {
        config.with_root_certificates(roots)
    } else {
        let verifier = Arc::new(ChainOnly { roots, provider: provider() });
        config.dangerous().with_custom_certificate_verifier(verifier)
    };
    match identity {
        Some(identity) => config.with_client_auth_cert(identity.chain, identity.key),
        None => Ok(config.with_no_client_auth()),
    }
}

/// Checks the chain and not the name: Consul's `verify_outgoing` without `verify_server_hostname`.
#[derive(Debug)]
struct ChainOnly {
    roots: Arc<RootCertStore>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for ChainOnly {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        verify_server_cert_signed_by_trust_anchor(
            &ParsedCertificate::try_from(end_entity)?,
            &self.roots,
            intermediates,
            now,
            self.provider.signature_verification_algorithms.all,
        )?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

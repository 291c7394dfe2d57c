//! A certificate chain with its key, whatever the order in which the chain's file has its certificates.

use rustls::crypto::CryptoProvider;
use rustls::sign::CertifiedKey;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use x509_parser::prelude::{FromDer, X509Certificate};

/// Puts a key and its certificates together: first the one that belongs to the key, then each one's issuer. Those that
/// belong to none of them follow.
///
/// # Errors
/// When the key cannot be used, or belongs to none of the certificates.
pub fn pair(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    provider: &CryptoProvider,
) -> Result<CertifiedKey, rustls::Error> {
    let key = provider.key_provider.load_private_key(key)?;
    let public = key.public_key().map(|public| public.as_ref().to_vec());
    let pair = CertifiedKey::new(ordered(chain, public.as_deref()), key);
    match pair.keys_match() {
        // A key that does not tell its public half is taken at its word, as rustls does.
        Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => Ok(pair),
        Err(error) => Err(error),
    }
}

/// `public` is the key's public half (RFC 5280 section 4.1.2.7). Without a certificate for it nothing changes.
fn ordered(mut chain: Vec<CertificateDer<'static>>, public: Option<&[u8]>) -> Vec<CertificateDer<'static>> {
    let leaf = chain.iter().position(|one| parse(one).is_some_and(|one| Some(one.public_key().raw) == public));
    let Some(leaf) = leaf else { return chain };
    let mut ordered = vec![chain.remove(leaf)];
    while let Some(at) = ordered.last().and_then(|last| issuer_of(last, &chain)) {
        ordered.push(chain.remove(at));
    }
    ordered.append(&mut chain);
    ordered
}

fn issuer_of(certificate: &CertificateDer<'_>, among: &[CertificateDer<'_>]) -> Option<usize> {
    let certificate = parse(certificate)?;
    let wanted = certificate.issuer().as_raw();
    among.iter().position(|one| parse(one).is_some_and(|one| one.subject().as_raw() == wanted))
}

fn parse<'a>(certificate: &'a CertificateDer<'_>) -> Option<X509Certificate<'a>> {
    X509Certificate::from_der(certificate).ok().map(|(_, parsed)| parsed)
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
    use rustls::crypto::aws_lc_rs;

    use super::*;

    struct Made {
        chain: [CertificateDer<'static>; 3],
        key: KeyPair,
    }

    fn params(name: &str, is_ca: bool) -> CertificateParams {
        let mut params = CertificateParams::new(vec![format!("{name}.test")]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = if is_ca { IsCa::Ca(BasicConstraints::Unconstrained) } else { IsCa::NoCa };
        params
    }

    /// A leaf, the one that issued it, and the root above that.
    fn made() -> Made {
        let (root_key, middle_key, key) =
            (KeyPair::generate().unwrap(), KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
        let (root, middle) = (params("root", true), params("middle", true));
        let root_certificate = root.self_signed(&root_key).unwrap();
        let root = Issuer::new(root, root_key);
        let middle_certificate = middle.signed_by(&middle_key, &root).unwrap();
        let middle = Issuer::new(middle, middle_key);
        let leaf = params("leaf", false).signed_by(&key, &middle).unwrap();
        Made { chain: [leaf, middle_certificate, root_certificate].map(|one| one.der().clone()), key }
    }

    fn private(key: &KeyPair) -> PrivateKeyDer<'static> {
        crate::pem::private_key(key.serialize_pem().as_bytes()).unwrap()
    }

    #[test]
    fn the_certificate_of_the_key_comes_first_and_each_issuer_after_it() {
        let made = made();
        let provider = aws_lc_rs::default_provider();
        for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0], [1, 0, 2], [2, 0, 1], [0, 2, 1]] {
            let chain = order.map(|at| made.chain[at].clone()).to_vec();
            let pair = pair(chain, private(&made.key), &provider).unwrap();
            assert_eq!(pair.cert, made.chain, "{order:?}");
        }
    }

    #[test]
    fn a_key_of_no_certificate_is_refused() {
        let (made, other) = (made(), KeyPair::generate().unwrap());
        let refused = pair(made.chain.to_vec(), private(&other), &aws_lc_rs::default_provider()).unwrap_err();
        assert!(matches!(refused, rustls::Error::InconsistentKeys(_)), "{refused:?}");
    }
}

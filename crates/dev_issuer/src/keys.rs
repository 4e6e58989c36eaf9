//! Signing keys of the issuer.

use std::sync::{Mutex, PoisonError};

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair,
        EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair as _,
    },
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use dev_http::keys::RsaPair;
use jsonwebtoken::{Algorithm, EncodingKey, jwk::Jwk};
use serde_json::{Value, json};

use crate::KeyError;

/// One key: an id, the algorithm of its JWK, the private half.
#[derive(Clone)]
pub(crate) struct Key {
    pub(crate) kid: String,
    pub(crate) alg: Algorithm,
    pub(crate) private: EncodingKey,
    pub(crate) public_pem: Option<String>,
    jwk: Value,
}

impl Key {
    pub(crate) fn make(kid: String, alg: Algorithm, nth: usize) -> Result<Self, KeyError> {
        let (private, public_pem, jwk) = match alg {
            Algorithm::ES256 => (ec(&ECDSA_P256_SHA256_FIXED_SIGNING)?, None, None),
            Algorithm::ES384 => (ec(&ECDSA_P384_SHA384_FIXED_SIGNING)?, None, None),
            Algorithm::EdDSA => ed()?,
            Algorithm::HS256 | Algorithm::HS384 | Algorithm::HS512 => return Err(KeyError::Unmade),
            _ => rsa(nth)?,
        };
        let derived =
            || Jwk::from_encoding_key(&private, alg).map(|k| serde_json::to_value(k).unwrap_or_default());
        let mut jwk = jwk.map_or_else(derived, Ok)?;
        jwk["kid"] = json!(kid);
        jwk["use"] = json!("sig");
        jwk["alg"] = json!(format!("{alg:?}"));
        Ok(Self { kid, alg, private, public_pem, jwk })
    }

    pub(crate) fn jwk(&self) -> Value {
        self.jwk.clone()
    }
}

fn ec(kind: &'static EcdsaSigningAlgorithm) -> Result<EncodingKey, KeyError> {
    let der = EcdsaKeyPair::generate_pkcs8(kind, &SystemRandom::new()).map_err(|_| KeyError::Unmade)?;
    Ok(EncodingKey::from_ec_der(der.as_ref()))
}

/// A private key, its public half as PEM for RSA, and its JWK where the library does not derive one.
type Made = (EncodingKey, Option<String>, Option<Value>);

fn ed() -> Result<Made, KeyError> {
    let der = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).map_err(|_| KeyError::Unmade)?;
    let pair = Ed25519KeyPair::from_pkcs8(der.as_ref()).map_err(|_| KeyError::Unmade)?;
    let x = URL_SAFE_NO_PAD.encode(pair.public_key().as_ref());
    Ok((EncodingKey::from_ed_der(der.as_ref()), None, Some(json!({"kty": "OKP", "crv": "Ed25519", "x": x}))))
}

fn rsa(nth: usize) -> Result<Made, KeyError> {
    let pair = pooled_rsa(nth)?;
    let private = EncodingKey::from_rsa_pem(pair.private_pem().as_bytes())?;
    Ok((private, Some(pair.public_pem()), None))
}

/// Returns the nth RSA pair of this process. Generating one is slow, so all issuers share them.
fn pooled_rsa(nth: usize) -> Result<RsaPair, KeyError> {
    static POOL: Mutex<Vec<RsaPair>> = Mutex::new(Vec::new());
    let mut pool = POOL.lock().unwrap_or_else(PoisonError::into_inner);
    while pool.len() <= nth {
        pool.push(RsaPair::generate()?);
    }
    Ok(pool[nth].clone())
}

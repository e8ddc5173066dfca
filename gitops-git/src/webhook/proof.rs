//! How a sender shows that it knows the secret.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, header};
use jiff::{SignedDuration, Timestamp};
use ring::hmac;

/// A shorter secret could be found by trying.
const MIN_SECRET: usize = 16;

/// What is compared with a delivery.
#[derive(Clone)]
pub(crate) enum Proof {
    /// `sha256=HEX` or `sha512=HEX` over the body, in a header.
    Signature {
        header: &'static str,
        sha256: hmac::Key,
        sha512: hmac::Key,
    },
    /// The secret itself, in a header.
    Token {
        header: &'static str,
        /// Keys that nobody else has, and the tag of the secret under one: comparing tags takes
        /// the same time for any token.
        key: hmac::Key,
        tag: hmac::Tag,
    },
    /// `v1,BASE64` over id, time and body.
    Standard(hmac::Key),
}

impl Proof {
    pub(crate) fn signature(header: &'static str, secret: &[u8]) -> Result<Self, String> {
        long_enough(secret)?;
        Ok(Self::Signature {
            header,
            sha256: hmac::Key::new(hmac::HMAC_SHA256, secret),
            sha512: hmac::Key::new(hmac::HMAC_SHA512, secret),
        })
    }

    pub(crate) fn token(header: &'static str, token: &[u8]) -> Result<Self, String> {
        long_enough(token)?;
        let key = hmac::Key::new(hmac::HMAC_SHA256, token);
        let tag = hmac::sign(&key, token);
        Ok(Self::Token { header, key, tag })
    }

    pub(crate) fn basic(user: &str, password: &str) -> Result<Self, String> {
        long_enough(password.as_bytes())?;
        if user.contains(':') {
            return Err("a user of basic authentication has no colon".to_owned());
        }
        let pair = STANDARD.encode(format!("{user}:{password}"));
        Self::token(
            header::AUTHORIZATION.as_str(),
            format!("Basic {pair}").as_bytes(),
        )
    }

    pub(crate) fn standard(secret: &[u8]) -> Result<Self, String> {
        long_enough(secret)?;
        Ok(Self::Standard(hmac::Key::new(hmac::HMAC_SHA256, secret)))
    }

    pub(crate) fn is_good(
        &self,
        headers: &HeaderMap,
        body: &[u8],
        now: Timestamp,
        window: SignedDuration,
    ) -> bool {
        match self {
            Self::Signature {
                header,
                sha256,
                sha512,
            } => {
                let Some((hash, digits)) = only(headers, header).and_then(|v| v.split_once('='))
                else {
                    return false;
                };
                let key = match hash {
                    "sha256" => sha256,
                    "sha512" => sha512,
                    _ => return false,
                };
                hex(digits).is_some_and(|tag| hmac::verify(key, body, &tag).is_ok())
            }
            Self::Token { header, key, tag } => only(headers, header)
                .is_some_and(|token| hmac::verify(key, token.as_bytes(), tag.as_ref()).is_ok()),
            Self::Standard(key) => standard(key, headers, body, now, window).unwrap_or(false),
        }
    }
}

fn long_enough(secret: &[u8]) -> Result<(), String> {
    if secret.len() < MIN_SECRET {
        return Err(format!("the secret is shorter than {MIN_SECRET} bytes"));
    }
    Ok(())
}

/// The value of a header that is there once. Of two, a proxy may have looked at the other.
fn only<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?;
    match values.next() {
        None => value.to_str().ok(),
        Some(_) => None,
    }
}

fn standard(
    key: &hmac::Key,
    headers: &HeaderMap,
    body: &[u8],
    now: Timestamp,
    window: SignedDuration,
) -> Option<bool> {
    let id = only(headers, "webhook-id")?;
    let time = only(headers, "webhook-timestamp")?;
    let made = Timestamp::from_second(time.parse().ok()?).ok()?;
    if now.duration_since(made).abs() > window {
        return Some(false);
    }
    let mut signed = format!("{id}.{time}.").into_bytes();
    signed.extend_from_slice(body);
    let good = only(headers, "webhook-signature")?
        .split(' ')
        .filter_map(|signature| signature.strip_prefix("v1,"))
        .filter_map(|signature| STANDARD.decode(signature).ok())
        .any(|tag| hmac::verify(key, &signed, &tag).is_ok());
    Some(good)
}

fn hex(digits: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> = digits
        .bytes()
        .map(|byte| {
            char::from(byte)
                .to_digit(16)
                .and_then(|d| u8::try_from(d).ok())
        })
        .collect();
    let digits = digits?;
    digits
        .chunks(2)
        .map(|pair| match pair {
            [high, low] => Some(high << 4 | low),
            _ => None,
        })
        .collect()
}

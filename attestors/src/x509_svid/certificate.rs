//! One certificate, read: what every certificate of a chain or bundle has to keep, and what the profiles ask of it.
//!
//! Invariant: a [`Certificate`] that was parsed is version 3, used up its bytes, has no extension twice and no critical
//! extension that nobody here would check.

use std::collections::HashSet;

use crumb_token::Timestamp;
use x509_parser::{
    certificate::X509Certificate,
    extensions::{
        BasicConstraints, ExtendedKeyUsage, GeneralName, KeyUsage, NameConstraints, ParsedExtension, X509Extension,
    },
    oid_registry::{
        OID_X509_EXT_BASIC_CONSTRAINTS, OID_X509_EXT_EXTENDED_KEY_USAGE, OID_X509_EXT_KEY_USAGE,
        OID_X509_EXT_NAME_CONSTRAINTS, OID_X509_EXT_SUBJECT_ALT_NAME, Oid,
    },
    parse_x509_certificate,
    time::ASN1Time,
    x509::{SubjectPublicKeyInfo, X509Version},
};

use super::invalid::InvalidSvid;

/// The longest serial number, in bytes.
///
/// RFC 5280 §4.1.2.2: "Conforming CAs MUST NOT use serialNumber values longer than 20 octets."
const SERIAL_LEN_MAX: usize = 20;

pub(super) struct Certificate<'a> {
    x509: X509Certificate<'a>,
}

impl<'a> Certificate<'a> {
    pub(super) fn parse(der: &'a [u8]) -> Result<Self, InvalidSvid> {
        let certificate = Self::read(der)?;
        certificate.check_form()?;
        Ok(certificate)
    }

    /// Reads the DER, without a look at what every certificate has to keep.
    pub(super) fn read(der: &'a [u8]) -> Result<Self, InvalidSvid> {
        let (rest, x509) = parse_x509_certificate(der).map_err(|_| InvalidSvid::Malformed)?;
        if !rest.is_empty() {
            return Err(InvalidSvid::Malformed);
        }
        Ok(Self { x509 })
    }

    /// Checks what every certificate has to keep.
    pub(super) fn check_form(&self) -> Result<(), InvalidSvid> {
        if self.x509.version() != X509Version::V3 {
            return Err(InvalidSvid::NotVersion3);
        }
        let mut seen = HashSet::new();
        for extension in self.x509.extensions() {
            // RFC 5280 §4.2: "A certificate MUST NOT include more than one instance of a particular extension."
            if !seen.insert(&extension.oid) {
                return Err(InvalidSvid::DuplicateExtension);
            }
            // RFC 5280 §4.2: "A certificate-using system MUST reject the certificate if it encounters a critical
            // extension it does not recognize or a critical extension that contains information that it cannot process."
            if extension.critical && !is_understood(&extension.oid) {
                return Err(InvalidSvid::UnknownCriticalExtension);
            }
        }
        Ok(())
    }

    /// RFC 5280 §4.1.2.2: "The serial number MUST be a positive integer".
    pub(super) fn check_serial(&self) -> Result<(), InvalidSvid> {
        let bytes = self.x509.raw_serial();
        let negative = bytes.first().is_none_or(|first| first & 0x80 != 0);
        let zero = bytes.iter().all(|byte| *byte == 0);
        if negative || zero || bytes.len() > SERIAL_LEN_MAX { Err(InvalidSvid::SerialNumber) } else { Ok(()) }
    }

    pub(super) fn der(&self) -> &'a [u8] {
        self.x509.as_raw()
    }

    pub(super) fn spki(&self) -> &[u8] {
        self.x509.public_key().raw
    }

    pub(super) fn public_key(&self) -> &SubjectPublicKeyInfo<'_> {
        self.x509.public_key()
    }

    pub(super) fn serial_hex(&self) -> String {
        self.x509.raw_serial().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    pub(super) fn issuer(&self) -> &[u8] {
        self.x509.issuer().as_raw()
    }

    pub(super) fn subject(&self) -> &[u8] {
        self.x509.subject().as_raw()
    }

    pub(super) fn has_empty_subject(&self) -> bool {
        self.x509.subject().iter_rdn().next().is_none()
    }

    pub(super) fn not_before(&self) -> Timestamp {
        timestamp(self.x509.validity().not_before)
    }

    pub(super) fn not_after(&self) -> Timestamp {
        timestamp(self.x509.validity().not_after)
    }

    pub(super) fn basic_constraints(&self) -> Result<Option<&BasicConstraints>, InvalidSvid> {
        match self.content(&OID_X509_EXT_BASIC_CONSTRAINTS) {
            None => Ok(None),
            Some(ParsedExtension::BasicConstraints(found)) => Ok(Some(found)),
            Some(_) => Err(InvalidSvid::Malformed),
        }
    }

    pub(super) fn key_usage(&self) -> Result<Option<&KeyUsage>, InvalidSvid> {
        match self.content(&OID_X509_EXT_KEY_USAGE) {
            None => Ok(None),
            Some(ParsedExtension::KeyUsage(found)) => Ok(Some(found)),
            Some(_) => Err(InvalidSvid::Malformed),
        }
    }

    pub(super) fn key_purposes(&self) -> Result<Option<&ExtendedKeyUsage<'a>>, InvalidSvid> {
        match self.content(&OID_X509_EXT_EXTENDED_KEY_USAGE) {
            None => Ok(None),
            Some(ParsedExtension::ExtendedKeyUsage(found)) => Ok(Some(found)),
            Some(_) => Err(InvalidSvid::Malformed),
        }
    }

    pub(super) fn name_constraints(&self) -> Result<Option<&NameConstraints<'a>>, InvalidSvid> {
        match self.content(&OID_X509_EXT_NAME_CONSTRAINTS) {
            None => Ok(None),
            Some(ParsedExtension::NameConstraints(found)) => Ok(Some(found)),
            Some(_) => Err(InvalidSvid::Malformed),
        }
    }

    /// Returns the URIs among the subject alternative names. One that is not text makes the certificate malformed: it
    /// would not be counted otherwise.
    pub(super) fn uri_names(&self) -> Result<Vec<&'a str>, InvalidSvid> {
        let names = match self.content(&OID_X509_EXT_SUBJECT_ALT_NAME) {
            None => return Ok(Vec::new()),
            Some(ParsedExtension::SubjectAlternativeName(found)) => &found.general_names,
            Some(_) => return Err(InvalidSvid::Malformed),
        };
        let mut uris = Vec::new();
        for name in names {
            match name {
                GeneralName::URI(uri) => uris.push(*uri),
                GeneralName::Invalid(..) => return Err(InvalidSvid::Malformed),
                _ => {}
            }
        }
        Ok(uris)
    }

    pub(super) fn names_are_critical(&self) -> bool {
        self.extension(&OID_X509_EXT_SUBJECT_ALT_NAME).is_some_and(|extension| extension.critical)
    }

    pub(super) fn basic_constraints_are_critical(&self) -> bool {
        self.extension(&OID_X509_EXT_BASIC_CONSTRAINTS).is_some_and(|extension| extension.critical)
    }

    fn content(&self, oid: &Oid<'_>) -> Option<&ParsedExtension<'a>> {
        self.extension(oid).map(X509Extension::parsed_extension)
    }

    fn extension(&self, oid: &Oid<'_>) -> Option<&X509Extension<'a>> {
        self.x509.extensions().iter().find(|extension| extension.oid == *oid)
    }
}

/// The extensions that may be critical: this file, the profiles or webpki act on each of them.
fn is_understood(oid: &Oid<'_>) -> bool {
    [
        OID_X509_EXT_BASIC_CONSTRAINTS,
        OID_X509_EXT_KEY_USAGE,
        OID_X509_EXT_EXTENDED_KEY_USAGE,
        OID_X509_EXT_SUBJECT_ALT_NAME,
        OID_X509_EXT_NAME_CONSTRAINTS,
    ]
    .contains(oid)
}

fn timestamp(time: ASN1Time) -> Timestamp {
    // A moment before 1970 is as far in the past as a certificate needs.
    Timestamp::from_unix_s(time.timestamp().try_into().unwrap_or(0))
}

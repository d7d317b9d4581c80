//! One encrypted value: `ENC[AES256_GCM,data:…,iv:…,tag:…,type:str]`.
//!
//! The format is <https://github.com/getsops/sops/blob/v3.11.0/aes/cipher.go>: AES-256-GCM with a nonce of 32 bytes, and the
//! value's path as additional data, so that a value cannot be moved to another key.
use super::keys::DataKey;
use aes_gcm::{
    AesGcm, KeyInit,
    aead::{AeadInOut, Nonce, Tag, consts::U32},
    aes::Aes256,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use zeroize::Zeroizing;

type Cipher = AesGcm<Aes256, U32>;

/// An encrypted value as it stands in the file.
#[derive(Debug)]
pub(super) struct Sealed {
    data: Vec<u8>,
    /// The nonce.
    pub iv: Vec<u8>,
    tag: Vec<u8>,
    /// What the plain text is: `str`, `int`, `float`, `bool`, `bytes`, `time` or `comment`.
    pub kind: String,
}

impl Sealed {
    /// Reads `ENC[…]`; `None` when the text is not of that form.
    pub fn parse(text: &str) -> Option<Self> {
        let fields = text.strip_prefix("ENC[AES256_GCM,")?.strip_suffix(']')?;
        let (mut data, mut iv, mut tag, mut kind) = (None, None, None, None);
        for field in fields.split(',') {
            let (name, value) = field.split_once(':')?;
            match name {
                "data" => data = Some(STANDARD.decode(value).ok()?),
                "iv" => iv = Some(STANDARD.decode(value).ok()?),
                "tag" => tag = Some(STANDARD.decode(value).ok()?),
                "type" => kind = Some(value.to_owned()),
                _ => return None,
            }
        }
        Some(Self { data: data?, iv: iv?, tag: tag?, kind: kind? })
    }

    /// The plain text; `None` when the key, the path or a byte of the value is not what was encrypted.
    pub fn open(&self, key: &DataKey, additional_data: &str) -> Option<Zeroizing<Vec<u8>>> {
        let cipher = Cipher::new_from_slice(key).ok()?;
        let nonce = Nonce::<Cipher>::try_from(self.iv.as_slice()).ok()?;
        let tag = Tag::<Cipher>::try_from(self.tag.as_slice()).ok()?;
        let mut text = Zeroizing::new(self.data.clone());
        cipher.decrypt_inout_detached(&nonce, additional_data.as_bytes(), text.as_mut_slice().into(), &tag).ok()?;
        Some(text)
    }
}

/// Encrypts a value: `ENC[…]` with a nonce of its own.
pub(super) fn seal(key: &DataKey, plain: &[u8], additional_data: &str, kind: &str) -> String {
    let mut iv = [0; 32];
    getrandom::fill(&mut iv).expect("the system has random bytes");
    seal_with(key, iv, plain, additional_data, kind)
}

/// Encrypts a value with a nonce that no other value of this key has.
pub(super) fn seal_with(key: &DataKey, iv: [u8; 32], plain: &[u8], additional_data: &str, kind: &str) -> String {
    let cipher = Cipher::new_from_slice(key).expect("a data key has 32 bytes");
    let nonce = Nonce::<Cipher>::from(iv);
    let mut data = Zeroizing::new(plain.to_vec());
    let tag = cipher
        .encrypt_inout_detached(&nonce, additional_data.as_bytes(), data.as_mut_slice().into())
        .expect("a value is far below what AES-GCM can take");
    let [data, iv, tag] = [data.as_slice(), &iv, &tag].map(|bytes| STANDARD.encode(bytes));
    format!("ENC[AES256_GCM,data:{data},iv:{iv},tag:{tag},type:{kind}]")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_text_is_no_sealed_value() {
        for text in ["", "ENC[]", "ENC[AES256_GCM,data:AA==,iv:AA==,tag:AA==]", "ENC[AES256_GCM,data:!,iv:AA==,tag:AA==,type:str]", "plain"]
        {
            assert!(Sealed::parse(text).is_none(), "{text}");
        }
        assert_eq!(Sealed::parse("ENC[AES256_GCM,data:AA==,iv:AA==,tag:AA==,type:str]").map(|sealed| sealed.kind).as_deref(), Some("str"));
    }

    #[test]
    fn a_short_nonce_is_refused_and_not_a_panic() {
        let sealed = Sealed::parse("ENC[AES256_GCM,data:AA==,iv:AA==,tag:AA==,type:str]").unwrap();
        assert!(sealed.open(&Zeroizing::new(vec![0; 32]), "a:").is_none());
        assert!(sealed.open(&Zeroizing::new(vec![0; 5]), "a:").is_none());
    }
}

//! What publishers of cloud images put beside them: lists of checksums.
use url::Url;

/// A checksum that a publisher lists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Sum {
    /// SHA-256, as Ubuntu, Rocky Linux and openSUSE list it.
    Sha256(String),
    /// SHA-512, as Debian lists it.
    Sha512(String),
}

impl Sum {
    fn of(digits: &str) -> Option<Self> {
        let digits = digits.to_ascii_lowercase();
        let is_hex = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        match digits.len() {
            64 if is_hex => Some(Self::Sha256(digits)),
            128 if is_hex => Some(Self::Sha512(digits)),
            _ => None,
        }
    }
}

/// Where a list may be, by the image's address: Ubuntu's `SHA256SUMS`, Debian's `SHA512SUMS`, Rocky Linux's `<file>.CHECKSUM` and `CHECKSUM`,
/// openSUSE's `<file>.sha256`.
pub(super) fn places(image: &str) -> Vec<String> {
    let Ok(mut url) = Url::parse(image) else { return Vec::new() };
    url.set_query(None);
    url.set_fragment(None);
    let file = url.path().rsplit('/').next().unwrap_or_default().to_owned();
    let names = [format!("{file}.sha256"), "SHA256SUMS".into(), format!("{file}.CHECKSUM"), "SHA512SUMS".into(), "CHECKSUM".into()];
    names.iter().filter_map(|name| url.join(name).ok()).map(String::from).collect()
}

/// What a list says of `file`: lines as `sha256sum` prints them, or as BSD's tools do (`SHA256 (file) = …`). A list that says one thing without a
/// name says it of the file that it lies beside.
pub(super) fn listed(list: &str, file: &str) -> Option<Sum> {
    let lines: Vec<&str> = list.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
    if let [alone] = lines[..]
        && let Some(sum) = Sum::of(alone)
    {
        return Some(sum);
    }
    lines.iter().find_map(|line| {
        if let Some((head, digits)) = line.split_once(" = ") {
            let name = head.split_once(" (")?.1.strip_suffix(')')?;
            return Sum::of(digits).filter(|_| name == file);
        }
        let (digits, name) = line.split_once(char::is_whitespace)?;
        let name = name.trim_start().trim_start_matches('*');
        Sum::of(digits).filter(|_| name.trim_start_matches("./") == file)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read_as_publishers_write_them() {
        let (short, long) = ("ab".repeat(32), "cd".repeat(64));
        for (list, expected) in [
            (format!("{short} *noble.img\n{long}  other.img"), Some(Sum::Sha256(short.clone()))),
            (format!("{long}  noble.img"), Some(Sum::Sha512(long.clone()))),
            (format!("# noble.img: 3 bytes\nSHA256 (noble.img) = {}", short.to_uppercase()), Some(Sum::Sha256(short.clone()))),
            (short.clone(), Some(Sum::Sha256(short.clone()))),
            (format!("{short}  noble.img.zst\n{short}  old-noble.img"), None),
            ("<html>not found</html>".into(), None),
            (format!("SHA256 (other.img) = {short}"), None),
        ] {
            assert_eq!(listed(&list, "noble.img"), expected, "{list}");
        }
    }

    #[test]
    fn lists_are_looked_for_beside_the_image() {
        let found = places("https://a.test/x/noble.img?token=1#2");
        assert_eq!(found[0], "https://a.test/x/noble.img.sha256");
        assert!(found.contains(&"https://a.test/x/SHA256SUMS".into()) && found.contains(&"https://a.test/x/CHECKSUM".into()));
        assert_eq!(places("no address"), Vec::<String>::new());
    }
}

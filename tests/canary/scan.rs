//! Looks for canaries in what came out, in every spelling. It shares no code with the product, which hides them.
use super::values::Canary;
use base64::{Engine, engine::general_purpose::STANDARD};
use std::{collections::HashMap, path::Path};

/// Half a core is unguessable too, and tells of a value that was cut before it was hidden.
const PIECE: usize = 12;

/// What to look for, the canary that it tells of, and how it is spelled.
type Needle = (Vec<u8>, String, &'static str);

/// Finds canaries.
pub struct Scanner {
    /// By their first bytes.
    needles: HashMap<[u8; PIECE], Vec<Needle>>,
}

impl Scanner {
    pub fn new(canaries: &[Canary]) -> Self {
        let mut needles: Vec<Needle> = Vec::new();
        for canary in canaries {
            for core in &canary.cores {
                for piece in [&core[..PIECE], &core[PIECE..]] {
                    // Cores are letters and digits, which JSON, URLs, shells and YAML write as they are.
                    needles.push((piece.into(), canary.name.clone(), "plain"));
                    needles.push((piece.bytes().rev().collect(), canary.name.clone(), "reversed"));
                    for (spelled, how) in [(lower_hex(piece), "hex"), (lower_hex(piece).to_uppercase(), "HEX")] {
                        needles.push((spelled.into(), canary.name.clone(), how));
                    }
                }
                // Letters and digits have no `+` and `/` apart from bits of their neighbours, so both alphabets are made.
                for before in 0..3 {
                    let padded = [&b"\0\0"[..before], core.as_bytes()].concat();
                    let encoded = STANDARD.encode(padded);
                    let whole = &encoded[(before * 8).div_ceil(6)..(before + core.len()) * 8 / 6];
                    for half in [&whole[..whole.len() / 2], &whole[whole.len() / 2..]] {
                        needles.push((half.into(), canary.name.clone(), "base64"));
                        needles.push((half.replace('+', "-").replace('/', "_").into(), canary.name.clone(), "base64url"));
                    }
                }
            }
        }
        let mut indexed: HashMap<_, Vec<_>> = HashMap::new();
        for needle in needles {
            indexed.entry(*needle.0.first_chunk().unwrap()).or_default().push(needle);
        }
        Self { needles: indexed }
    }

    /// What `text` gives away: canary and spelling.
    pub fn found(&self, text: &[u8]) -> Vec<String> {
        let at = |window: &[u8]| self.needles.get(window).into_iter().flatten();
        let mut found: Vec<String> = (0..text.len().saturating_sub(PIECE - 1))
            .flat_map(|from| at(&text[from..from + PIECE]).filter(move |(needle, ..)| text[from..].starts_with(needle)))
            .map(|(_, name, how)| format!("{name} ({how})"))
            .collect();
        found.sort();
        found.dedup();
        found
    }

    /// Fails with everything that `text` gives away; `channel` says where it came out.
    #[track_caller]
    pub fn clean(&self, channel: &str, text: impl AsRef<[u8]>) {
        let found = self.found(text.as_ref());
        assert!(found.is_empty(), "{channel} gives away {found:?}:\n{}", String::from_utf8_lossy(text.as_ref()));
    }

    /// Fails when a file below `folder`, or its name, gives something away.
    #[track_caller]
    pub fn clean_folder(&self, channel: &str, folder: &Path) {
        for (path, content) in files(folder) {
            self.clean(&format!("{channel}: the name {path}"), &path);
            self.clean(&format!("{channel}: {path}"), &content);
        }
    }
}

fn lower_hex(text: &str) -> String {
    text.bytes().map(|byte| format!("{byte:02x}")).collect()
}

/// All files below a folder with their contents.
pub fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push((path.display().to_string(), std::fs::read(&path).unwrap_or_default()));
        }
    }
    found
}

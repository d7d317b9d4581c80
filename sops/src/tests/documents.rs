//! Random commented documents, drawn from a seed: layouts that people write, and stranger ones.

/// Random numbers out of a seed (<https://prng.di.unimi.it/splitmix64.c>).
pub(crate) struct Draw(pub u64);

impl Draw {
    pub fn below(&mut self, end: u64) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % end).expect("it is below the end")
    }

    /// Yes, in one case of so many.
    pub fn one_in(&mut self, cases: u64) -> bool {
        self.below(cases) == 0
    }

    pub fn of<'a>(&mut self, choices: &[&'a str]) -> &'a str {
        choices[self.below(choices.len() as u64)]
    }
}

/// Rules that say what is encrypted; the first one is the default.
pub(super) const RULES: [(&str, &str); 7] = [
    ("unencrypted_suffix", "_unencrypted"),
    ("encrypted_suffix", "_key"),
    ("encrypted_regex", "^(data|stringData)$"),
    ("unencrypted_regex", "^(kind|metadata)$"),
    ("unencrypted_comment_regex", "keep:plain"),
    ("encrypted_comment_regex", "secret"),
    ("unencrypted_suffix", "_unencrypted"),
];

const KEYS: [&str; 10] = ["data", "stringData", "kind", "metadata", "a_unencrypted", "b_key", "user", "password", "\"q k\"", "x-y"];
const SCALARS: [&str; 24] = [
    "x",
    "two words",
    "'single'",
    "\"double\"",
    "1",
    "-5",
    "1.50",
    "0644",
    "true",
    "yes",
    "null",
    "~",
    "''",
    "2020-01-01",
    "a#b",
    "http://a:b/c",
    "\"# no comment\"",
    "'it''s'",
    "0x1F",
    "1_000",
    "12:30",
    "&anchor x",
    "!!str 5",
    "é ß",
];
const FLOWS: [&str; 9] =
    ["{}", "[]", "[x, y]", "{k: v, n: 7}", "{k: {l: [1, 'a']}}", "[[1], [], {}]", "{\"k\":1, l: }", "[a: b, c]", "{k: v, m: [x,\n  y]}"];
const COMMENTS: [&str; 8] = ["", " ", " keep:plain ", " secret ", " password: plain", "#", " - item ", " keep:plain secret "];

/// A document and what it needs to be unique.
pub(super) struct Document {
    draw: Draw,
    text: String,
    count: usize,
}

impl Document {
    /// The document of a seed.
    pub fn of(seed: u64) -> String {
        let mut document = Self { draw: Draw(seed), text: String::new(), count: 0 };
        document.comments(0, 4);
        if document.draw.one_in(6) {
            let mark = document.draw.of(&["---\n", "--- # beside\n", "---\n\n"]);
            document.text.push_str(mark);
        }
        document.map(0, 0);
        while document.draw.one_in(10) {
            document.comments(0, 3);
            let mark = document.draw.of(&["---\n", "...\n---\n", "--- # beside\n", "---\n# below\n"]);
            document.text.push_str(mark);
            document.map(0, 0);
        }
        document.comments(0, 3);
        if document.draw.one_in(12) {
            document.text.truncate(document.text.trim_end_matches('\n').len());
        }
        if document.draw.one_in(25) { document.text.replace('\n', "\r\n") } else { document.text }
    }

    fn map(&mut self, column: usize, depth: usize) {
        for entry in 0..=self.draw.below(4) {
            if entry > 0 || self.draw.one_in(3) {
                self.comments(column, 3);
            }
            self.entry(column, depth);
        }
        self.comments(column, 5);
    }

    fn entry(&mut self, column: usize, depth: usize) {
        let key = self.key();
        self.text.push_str(&format!("{:column$}{key}:", ""));
        self.value(column, depth, false);
    }

    fn list(&mut self, column: usize, depth: usize) {
        for item in 0..=self.draw.below(3) {
            if item > 0 || self.draw.one_in(3) {
                self.comments(column, 3);
            }
            self.text.push_str(&format!("{:column$}-", ""));
            match self.draw.below(8) {
                0 if depth < 4 => {
                    let key = self.key();
                    self.text.push_str(&format!(" {key}:"));
                    self.value(column + 2, depth + 1, false);
                    if self.draw.one_in(2) {
                        self.comments(column + 2, 3);
                        self.entry(column + 2, depth + 1);
                    }
                }
                1 if depth < 4 => {
                    self.text.push_str(" -");
                    self.value(column + 2, depth + 1, true);
                    if self.draw.one_in(2) {
                        self.comments(column + 2, 3);
                        self.text.push_str(&format!("{:1$}-", "", column + 2));
                        self.value(column + 2, depth + 1, true);
                    }
                }
                _ => self.value(column, depth, true),
            }
        }
        if self.draw.one_in(3) {
            self.comments(column, 3);
        }
    }

    /// What stands behind a `:` or a `-`.
    fn value(&mut self, column: usize, depth: usize, item: bool) {
        match self.draw.below(12) {
            0 | 1 if depth < 4 => {
                self.beside();
                self.comments(column + 2, 4);
                let deeper = 1 + self.draw.below(4);
                self.map(column + deeper, depth + 1);
            }
            2 | 3 if depth < 4 => {
                self.beside();
                self.comments(column, 4);
                let deeper = if item { 1 } else { 0 } + self.draw.below(3);
                self.list(column + deeper, depth + 1);
            }
            4 => {
                let mark = self.draw.of(&["|", ">", "|-", ">-", "|+"]);
                self.text.push_str(&format!(" {mark}\n"));
                for line in 0..=self.draw.below(2) {
                    if line > 0 && self.draw.one_in(4) {
                        self.text.push('\n');
                    }
                    let word = self.draw.of(&["word", "# no comment", "k: v"]);
                    self.text.push_str(&format!("{:1$}{word}\n", "", column + 2));
                }
            }
            5 => {
                let flow = self.draw.of(&FLOWS).replace('\n', &format!("\n{:column$}", ""));
                self.text.push_str(&format!(" {flow}"));
                self.beside();
            }
            6 if depth < 4 => self.flow(column),
            7 => self.beside(),
            _ => {
                let scalar = self.draw.of(&SCALARS);
                self.text.push_str(&format!(" {scalar}"));
                self.beside();
            }
        }
    }

    /// Brackets over several lines, with comments in them.
    fn flow(&mut self, column: usize) {
        let map = self.draw.one_in(2);
        self.text.push_str(if map { " {" } else { " [" });
        self.beside();
        let items = self.draw.below(3);
        for item in 0..=items {
            self.comments(column + 2, 4);
            let scalar = self.draw.of(&["x", "'y'", "\"z\"", "1", "true", "two words", "[]", "{k: v}"]);
            self.count += 1;
            let key = if map { format!("k{}: ", self.count) } else { String::new() };
            let comma = if item < items || self.draw.one_in(4) { "," } else { "" };
            self.text.push_str(&format!("{:1$}{key}{scalar}{comma}", "", column + 2));
            self.beside();
        }
        self.comments(column + 2, 4);
        self.text.push_str(&format!("{:1$}{2}", "", column + 1, if map { "}" } else { "]" }));
        self.beside();
    }

    /// The end of a line, sometimes with a comment before it.
    fn beside(&mut self) {
        if self.draw.one_in(5) {
            let comment = self.comment();
            let blanks = self.draw.of(&[" ", "  ", "    "]);
            self.text.push_str(&format!("{blanks}{comment}"));
        }
        self.text.push('\n');
    }

    /// Comments and empty lines, in one case of so many; their columns are mostly what fits.
    fn comments(&mut self, column: usize, cases: u64) {
        while self.draw.one_in(cases) {
            if self.draw.one_in(3) {
                self.text.push('\n');
                continue;
            }
            let column = if self.draw.one_in(3) { self.draw.below(8) } else { column };
            let comment = self.comment();
            self.text.push_str(&format!("{:column$}{comment}\n", ""));
        }
    }

    fn comment(&mut self) -> String {
        self.count += 1;
        let begin = self.draw.of(&COMMENTS);
        format!("#{begin}c{}", self.count)
    }

    fn key(&mut self) -> String {
        self.count += 1;
        let key = self.draw.of(&KEYS);
        // The rules that go by a whole name want it once in a while.
        if self.draw.one_in(3) && !self.text.contains(&format!("{key}:")) { key.into() } else { format!("k{}", self.count) }
    }
}

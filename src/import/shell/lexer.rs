//! A script to simple commands, words still unexpanded (POSIX.1-2017, Shell Command Language 2.2, 2.3).

/// A piece of a word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Piece {
    /// As written; whether it was in quotes.
    Text(String, bool),
    /// `$NAME`, `${NAME}`, `${NAME:-default}`; whether it was in quotes.
    Variable(String, Option<String>, bool),
    /// `$(…)`, `` `…` ``, `$((…))`: only known when it runs.
    Open,
    /// `NAME=(…)`: the words of an array (bash(1), "Arrays").
    Array(Vec<Word>),
}

/// A word.
pub(super) type Word = Vec<Piece>;

/// A simple command.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Simple {
    /// Its first line, from 1.
    pub line: u64,
    /// As it was written, on one line.
    pub said: String,
    /// Its words.
    pub words: Vec<Word>,
    /// Where `>` or `>>` leads.
    pub to: Option<Word>,
    /// What it is given by `<<`.
    pub document: Option<Document>,
    /// What ended it: `;`, `|`, `&&`, `||`, `&`, `(`, `)`, or nothing.
    pub end: &'static str,
}

/// A here-document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Document {
    /// Its text.
    pub text: String,
    /// Whether variables in it are left as they are.
    pub is_quoted: bool,
}

/// How deep `"$(` within `"$(` is followed.
const MAX_NESTED: usize = 64;

/// What is opened and never closed: nothing behind it can be told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} is opened here and never closed: close it, what stands behind it cannot be read")]
pub(super) struct Unclosed {
    /// Its line, from 1.
    pub line: u64,
    what: &'static str,
}

struct Heredoc {
    end: String,
    is_quoted: bool,
    /// Of which command, by its index.
    of: usize,
}

struct Lexer<'a> {
    chars: std::iter::Peekable<std::str::Chars<'a>>,
    line: u64,
    out: Vec<Simple>,
    now: Simple,
    word: Option<Word>,
    /// The next word is the target of a redirection: of standard output, or of another.
    redirect: Option<bool>,
    /// Ends of here-documents that follow the line.
    heredocs: Vec<Heredoc>,
    heredoc_next: bool,
    unclosed: Option<Unclosed>,
    /// How many `$(` are open just now, one within quotes of the other.
    nested: usize,
}

/// The simple commands of a script, in order.
pub(super) fn commands(text: &str) -> Result<Vec<Simple>, Unclosed> {
    let now = Simple { line: 1, ..Simple::default() };
    let mut lexer = Lexer {
        chars: text.chars().peekable(),
        line: 1,
        out: Vec::new(),
        now,
        word: None,
        redirect: None,
        heredocs: Vec::new(),
        heredoc_next: false,
        unclosed: None,
        nested: 0,
    };
    while let Some(c) = lexer.next() {
        lexer.take(c);
    }
    lexer.end("");
    lexer.unclosed.map_or(Ok(lexer.out), Err)
}

impl Lexer<'_> {
    /// The next character of what was opened on a line, up to what closes it.
    fn within(&mut self, close: char, line: u64, what: &'static str) -> Option<char> {
        let c = self.next();
        if c.is_none() {
            self.unclosed.get_or_insert(Unclosed { line, what });
        }
        c.filter(|c| *c != close)
    }

    fn next(&mut self) -> Option<char> {
        let c = self.chars.next()?;
        if c == '\n' {
            self.line += 1;
        } else {
            self.now.said.push(c);
        }
        Some(c)
    }

    fn followed_by(&mut self, c: char) -> bool {
        let there = self.chars.peek() == Some(&c);
        if there {
            self.next();
        }
        there
    }

    fn push(&mut self, piece: Piece) {
        let word = self.word.get_or_insert_default();
        match (word.last_mut(), piece) {
            (Some(Piece::Text(text, quoted)), Piece::Text(more, same)) if *quoted == same => text.push_str(&more),
            (_, piece) => word.push(piece),
        }
    }

    fn end_word(&mut self) {
        let Some(word) = self.word.take() else { return };
        if self.heredoc_next {
            self.heredoc_next = false;
            let end: String = word
                .iter()
                .filter_map(|piece| if let Piece::Text(text, _) = piece { Some(text.as_str()) } else { None })
                .collect();
            let is_quoted = word.iter().any(|piece| matches!(piece, Piece::Text(_, true)));
            let end = end.trim_start_matches('-').to_owned();
            self.heredocs.push(Heredoc { end, is_quoted, of: self.out.len() });
            return;
        }
        match self.redirect.take() {
            Some(true) => self.now.to = Some(word),
            Some(false) => {}
            None => self.now.words.push(word),
        }
    }

    fn end(&mut self, end: &'static str) {
        self.end_word();
        self.redirect = None;
        let line = self.line;
        let mut done = std::mem::replace(&mut self.now, Simple { line, ..Simple::default() });
        done.said = done.said.trim().trim_end_matches([';', '|', '&']).trim().to_owned();
        done.end = end;
        if !done.words.is_empty() || done.to.is_some() || matches!(end, "(" | ")") {
            self.out.push(done);
        }
    }

    fn take(&mut self, c: char) {
        if self.now.words.is_empty() && self.word.is_none() {
            self.now.line = self.line;
        }
        match c {
            '\\' => match self.next() {
                Some('\n') => self.now.said.push(' '),
                Some(c) => self.push(Piece::Text(c.to_string(), true)),
                None => {}
            },
            '\'' => self.single(),
            '"' => self.double(),
            '$' => self.dollar(false),
            '`' => self.backtick(),
            '#' if self.word.is_none() => self.comment(),
            ' ' | '\t' | '\r' => self.end_word(),
            '\n' => {
                // The new line has been counted already; what ends here stands on the one before.
                self.end("");
                self.now.line = self.line;
                self.skip_heredocs();
            }
            ';' => {
                while self.followed_by(';') {}
                self.end(";");
            }
            '|' => {
                let end = if self.followed_by('|') { "||" } else { "|" };
                self.end(end);
            }
            '&' if self.followed_by('>') => self.redirect_out(),
            '&' => {
                let end = if self.followed_by('&') { "&&" } else { "&" };
                self.end(end);
            }
            '(' if self.assigns() => self.array(),
            '(' => self.end("("),
            ')' => self.end(")"),
            '>' => self.redirect_out(),
            '<' => self.redirect_in(),
            c => self.push(Piece::Text(c.to_string(), false)),
        }
    }

    /// Whether a name and `=` stand before.
    fn assigns(&self) -> bool {
        let Some([Piece::Text(text, false)]) = self.word.as_deref() else { return false };
        text.strip_suffix('=').is_some_and(|name| {
            !name.is_empty() && !name.contains(|c: char| !c.is_ascii_alphanumeric() && !"_+".contains(c))
        })
    }

    /// `NAME=(`, the bracket taken: what is in it, without arrays of its own.
    fn array(&mut self) {
        let (line, mut text, mut before, mut quote, mut depth) = (self.line, String::new(), ' ', None, 0_u32);
        while let Some(c) = self.within('\0', line, "a (") {
            match (quote, c) {
                (Some(open), c) if c == open => quote = None,
                (Some(_), _) => {}
                (None, '\'' | '"') => quote = Some(c),
                (None, '(') if before != '$' && depth == 0 => return self.push(Piece::Open),
                (None, '(') => depth += 1,
                (None, ')') if depth == 0 => break,
                (None, ')') => depth -= 1,
                _ => {}
            }
            text.push(c);
            before = c;
        }
        match commands(&text) {
            Ok(all) => self.push(Piece::Array(all.into_iter().flat_map(|one| one.words).collect())),
            Err(_) => self.push(Piece::Open),
        }
    }

    /// After `>`: `2>` is not standard output, `>&2` no file.
    fn redirect_out(&mut self) {
        let descriptor = match self.word.as_deref() {
            Some([Piece::Text(text, false)]) if text.len() == 1 && text.chars().all(|c| c.is_ascii_digit()) => {
                let other = text != "1";
                self.word = None;
                other
            }
            _ => false,
        };
        self.end_word();
        self.followed_by('>');
        let duplicate = self.followed_by('&');
        self.followed_by('|');
        self.redirect = Some(!descriptor && !duplicate);
    }

    fn redirect_in(&mut self) {
        self.end_word();
        if self.followed_by('<') {
            if self.followed_by('<') {
                // A here-string: the word that follows is what is read. It is kept as an argument.
                return;
            }
            self.heredoc_next = true;
            return;
        }
        self.redirect = Some(false);
    }

    fn skip_heredocs(&mut self) {
        for Heredoc { end, is_quoted, of } in std::mem::take(&mut self.heredocs) {
            let mut text = String::new();
            loop {
                let mut line = String::new();
                let mut more = false;
                while let Some(c) = self.next() {
                    if c == '\n' {
                        more = true;
                        break;
                    }
                    line.push(c);
                }
                if line.trim() == end || !more {
                    break;
                }
                text.push_str(&line);
                text.push('\n');
            }
            if let Some(command) = self.out.get_mut(of) {
                command.document = Some(Document { text, is_quoted });
            }
        }
        self.now.said.clear();
    }

    fn comment(&mut self) {
        while self.chars.peek().is_some_and(|c| *c != '\n') {
            self.chars.next();
        }
        self.now.said.pop();
    }

    fn single(&mut self) {
        let (line, mut text) = (self.line, String::new());
        while let Some(c) = self.within('\'', line, "a ' quote") {
            text.push(c);
        }
        self.push(Piece::Text(text, true));
    }

    /// `$'…'`: a backslash keeps a quote from closing it (bash(1), QUOTING). Other escapes are left as they stand.
    fn escaped(&mut self) {
        let (line, mut text) = (self.line, String::new());
        while let Some(c) = self.within('\'', line, "a $' quote") {
            match c {
                '\\' => match self.next() {
                    Some(c @ ('\'' | '"' | '\\')) => text.push(c),
                    Some(c) => text.extend(['\\', c]),
                    None => {}
                },
                c => text.push(c),
            }
        }
        self.push(Piece::Text(text, true));
    }

    fn double(&mut self) {
        let line = self.line;
        self.push(Piece::Text(String::new(), true));
        while let Some(c) = self.within('"', line, "a \" quote") {
            match c {
                '\\' => {
                    let c = self.next().unwrap_or('\\');
                    let kept = if "\\\"$`".contains(c) { String::new() } else { "\\".to_owned() };
                    if c != '\n' {
                        self.push(Piece::Text(format!("{kept}{c}"), true));
                    }
                }
                '$' => self.dollar(true),
                '`' => self.backtick(),
                c => self.push(Piece::Text(c.to_string(), true)),
            }
        }
    }

    fn backtick(&mut self) {
        let line = self.line;
        while let Some(c) = self.within('`', line, "a `") {
            if c == '\\' {
                self.next();
            }
        }
        self.push(Piece::Open);
    }

    /// `$(…)`, the `$` taken: what is in it is only known when it runs, and a bracket in quotes closes nothing. Behind a `<<` quotes are
    /// text, as they are in most here-documents.
    fn substitution(&mut self) {
        let (line, mut depth, mut before, mut quotes) = (self.line, 0_u32, ' ', self.nested < MAX_NESTED);
        self.nested += 1;
        let word = self.word.take();
        while let Some(c) = self.within('\0', line, "$(") {
            match c {
                '(' => depth += 1,
                ')' => depth -= 1,
                '<' if before == '<' => quotes = false,
                '\\' => drop(self.next()),
                '\'' if quotes => self.single(),
                '"' if quotes => self.double(),
                '#' if quotes && (before.is_whitespace() || "(;".contains(before)) => self.comment(),
                _ => {}
            }
            if depth == 0 {
                break;
            }
            before = c;
        }
        self.word = word;
        self.nested -= 1;
        self.push(Piece::Open);
    }

    fn dollar(&mut self, quoted: bool) {
        match self.chars.peek().copied() {
            Some('(') => self.substitution(),
            Some('\'') if !quoted => {
                self.next();
                self.escaped();
            }
            Some('{') => {
                let (line, mut inner) = (self.line, String::new());
                self.next();
                while let Some(c) = self.within('}', line, "${") {
                    inner.push(c);
                }
                let (name, default) = match inner.split_once(":-").or_else(|| inner.split_once('-')) {
                    Some((name, default)) => (name.to_owned(), Some(default.to_owned())),
                    None => (inner, None),
                };
                self.push(Piece::Variable(name, default, quoted));
            }
            Some(c) if c.is_ascii_alphabetic() || c == '_' => {
                let mut name = String::new();
                while let Some(c) = self.chars.peek().copied().filter(|c| c.is_ascii_alphanumeric() || *c == '_') {
                    name.push(c);
                    self.next();
                }
                self.push(Piece::Variable(name, None, quoted));
            }
            Some(c) if c.is_ascii_digit() || "@*#?$!".contains(c) => {
                self.next();
                self.push(Piece::Variable(c.to_string(), None, quoted));
            }
            _ => self.push(Piece::Text("$".to_owned(), quoted)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> Vec<String> {
        let word = |word: &Word| format!("{word:?}");
        commands(text)
            .unwrap()
            .iter()
            .map(|one| format!("{} {:?} {}", one.line, one.words.iter().map(word).collect::<Vec<_>>(), one.end))
            .collect()
    }

    #[test]
    fn commands_end_where_the_shell_ends_them() {
        let all = commands("a b; c && d\n# no\ne 'f g' # h\nif x; then y; fi\n").unwrap();
        let said: Vec<(u64, &str)> = all.iter().map(|one| (one.line, one.said.as_str())).collect();
        assert_eq!(said, [(1, "a b"), (1, "c"), (1, "d"), (3, "e 'f g'"), (4, "if x"), (4, "then y"), (4, "fi")]);
        assert_eq!(all[3].words.len(), 2);
    }

    #[test]
    fn a_redirection_is_no_word() {
        let all = commands("echo 0 2>/dev/null >/sys/x\necho y >&2\ncat <<EOF >f\n a > b\nEOF\nz").unwrap();
        assert_eq!(all[0].words.len(), 2);
        assert_eq!(all[0].to, Some(vec![Piece::Text("/sys/x".into(), false)]));
        assert_eq!(all[1].to, None);
        assert_eq!(all[2].document, Some(Document { text: " a > b\n".to_owned(), is_quoted: false }));
        assert_eq!((all[3].said.as_str(), all[3].line), ("z", 6), "{:?}", shown("cat <<EOF >f\n a > b\nEOF\nz"));
    }

    #[test]
    fn what_is_not_closed_is_told_with_its_line() {
        for (text, line, what) in [
            ("a\necho 'b\nc\n", 2, "a ' quote"),
            ("a \"b $c\nd", 1, "a \" quote"),
            ("a\n\nb $(c \")\"\n", 3, "$("),
            ("a\nb ${c\n", 2, "${"),
            ("a `b\n", 1, "a `"),
            ("a $'b\\'\n", 1, "a $' quote"),
            // The inner one is told: it is what is to be closed first.
            ("a $(b 'c)\n", 1, "a ' quote"),
        ] {
            assert_eq!(commands(text).unwrap_err(), Unclosed { line, what }, "{text}");
        }
        for text in [
            "a $'it\\'s' b",
            "a $(echo \")\") b",
            "a \"$(b \"c\")\" b",
            "a $(b # it's\n) b",
            "a $(b <<E\nit's\nE\n) b",
            "a $((1 << 2)) b",
            "a \\' b",
            "a b # it's\n",
            "a b <<E\nit's\nE\n",
            "a `b \\`c\\`` b",
            "a ${#b} b",
        ] {
            let all = commands(text).unwrap();
            assert_eq!(all.len(), 1, "{text}: {all:?}");
            assert!(all[0].words.len() >= 2, "{text}: {all:?}");
        }
    }

    #[test]
    fn arrays_are_words() {
        let all = commands("A=(a \"b c\" # no\n d)\nx").unwrap();
        assert_eq!(all.len(), 2);
        let Some(Piece::Array(words)) = all[0].words[0].get(1) else { panic!("{all:?}") };
        assert_eq!(words.len(), 3);
        let _ = commands(&"a=(".repeat(1 << 20));
        let _ = commands(&"a=($(".repeat(1 << 20));
    }

    #[test]
    fn nothing_ends_in_a_loop_or_a_panic() {
        for text in [
            "a=(", "a=()", "a=(b)c", "'", "\"", "$(", "${", "`", "\\", "<<", "<<X", ">", "a >", "((((", "$", "\"$",
            "case", "\r\n#",
        ] {
            let _ = commands(text);
        }
        let _ = commands(&"\"$(".repeat(1 << 20));
    }
}

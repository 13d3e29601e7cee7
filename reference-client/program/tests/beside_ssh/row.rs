//! A row of the table: what both programs are given, and in what rejoin differs.

/// One row. Of the texts, `{port}` is replaced by sshd's port, `{busy}` by one that is in use, `{dir}` by a folder of
/// the row and `{config}` by its configuration file.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) name: &'static str,
    /// Lines for the host `lab`.
    pub(crate) config: &'static str,
    /// Lines in front of all others.
    pub(crate) head: &'static str,
    pub(crate) options: Vec<&'static str>,
    pub(crate) destination: Option<&'static str>,
    pub(crate) command: Vec<&'static str>,
    pub(crate) stdin: Stdin,
    /// What the login shell reads first.
    pub(crate) rc: &'static str,
    pub(crate) environment: Vec<(&'static str, &'static str)>,
    pub(crate) differs: Option<Differs>,
}

/// What both read.
#[derive(Clone, Debug)]
pub(crate) enum Stdin {
    /// A pipe with this in it, which then ends.
    Pipe(Vec<u8>),
    /// A terminal, which is stdout as well. Each text is typed once the one before it was shown.
    Terminal(Vec<(&'static str, &'static str)>),
}

/// In what rejoin differs, and why.
#[derive(Clone, Debug)]
pub(crate) struct Differs {
    pub(crate) because: &'static str,
    pub(crate) status: Option<i32>,
    pub(crate) stdout: Option<&'static str>,
    pub(crate) stderr: Option<Words>,
}

/// What rejoin says in the place of ssh.
#[derive(Clone, Debug)]
pub(crate) enum Words {
    Exactly(&'static str),
    /// One line of its own that contains this.
    With(&'static str),
}

/// A row in which a command without a terminal reads nothing.
pub(crate) fn row(name: &'static str) -> Row {
    Row {
        name,
        config: "",
        head: "",
        options: Vec::new(),
        destination: Some("lab"),
        command: Vec::new(),
        stdin: Stdin::Pipe(Vec::new()),
        rc: "",
        environment: Vec::new(),
        differs: None,
    }
}

impl Row {
    pub(crate) fn config(self, config: &'static str) -> Self {
        Self { config, ..self }
    }

    pub(crate) fn head(self, head: &'static str) -> Self {
        Self { head, ..self }
    }

    pub(crate) fn options<const N: usize>(self, options: [&'static str; N]) -> Self {
        Self { options: options.into(), ..self }
    }

    pub(crate) fn destination(self, destination: &'static str) -> Self {
        Self { destination: Some(destination), ..self }
    }

    pub(crate) fn no_destination(self) -> Self {
        Self { destination: None, ..self }
    }

    pub(crate) fn command(self, command: &'static str) -> Self {
        self.words([command])
    }

    pub(crate) fn words<const N: usize>(self, words: [&'static str; N]) -> Self {
        Self { command: words.into(), ..self }
    }

    pub(crate) fn stdin(self, text: impl Into<Vec<u8>>) -> Self {
        Self { stdin: Stdin::Pipe(text.into()), ..self }
    }

    pub(crate) fn terminal(self) -> Self {
        Self { stdin: Stdin::Terminal(Vec::new()), ..self }
    }

    /// On a terminal, types this once that was shown.
    pub(crate) fn types(mut self, shown: &'static str, typed: &'static str) -> Self {
        match &mut self.stdin {
            Stdin::Terminal(turns) => turns.push((shown, typed)),
            Stdin::Pipe(_) => self.stdin = Stdin::Terminal(vec![(shown, typed)]),
        }
        self
    }

    pub(crate) fn rc(self, rc: &'static str) -> Self {
        Self { rc, ..self }
    }

    pub(crate) fn environment(mut self, name: &'static str, value: &'static str) -> Self {
        self.environment.push((name, value));
        self
    }

    pub(crate) fn differs(self, because: &'static str) -> Self {
        let differs = Differs { because, status: None, stdout: None, stderr: None };
        Self { differs: Some(differs), ..self }
    }

    pub(crate) fn status(self, status: i32) -> Self {
        self.changed(|differs| differs.status = Some(status))
    }

    pub(crate) fn stdout(self, stdout: &'static str) -> Self {
        self.changed(|differs| differs.stdout = Some(stdout))
    }

    pub(crate) fn stderr(self, stderr: &'static str) -> Self {
        self.changed(|differs| differs.stderr = Some(Words::Exactly(stderr)))
    }

    pub(crate) fn says(self, part: &'static str) -> Self {
        self.changed(|differs| differs.stderr = Some(Words::With(part)))
    }

    fn changed(mut self, change: impl FnOnce(&mut Differs)) -> Self {
        change(self.differs.as_mut().expect("a row says first why it differs"));
        self
    }
}

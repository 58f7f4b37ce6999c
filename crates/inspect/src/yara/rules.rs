//! Rules, and the mistakes in them.

use std::path::PathBuf;

use yara_x::{Compiler, IgnoredRuleReason, SourceCode};

/// Modules about file formats that this is built without: memory holds parts of such files, and is not one.
const LEFT_OUT: &[&str] =
    &["crx", "cuckoo", "dex", "dotnet", "elf", "lnk", "macho", "magic", "pe", "vt", "zip"];

/// Text with rules.
#[derive(Clone, Debug)]
pub struct Source {
    /// The name in errors: its path.
    pub name: String,
    /// The text.
    pub text: Vec<u8>,
    /// The directory where `include` looks first.
    pub folder: PathBuf,
}

/// Compiled rules.
pub struct Rules {
    pub(super) compiled: yara_x::Rules,
    /// The rules that were left out, and why; lines for people.
    pub notes: Vec<String>,
    /// The compiler's warnings, such as patterns that are slow to search for; lines for people.
    pub warnings: Vec<String>,
}

/// The mistakes in rules, each with its place; lines for people.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct RulesError(String);

impl Rules {
    /// Compiles rules. Those that need a module about a format of files are left out, which the notes say.
    ///
    /// # Errors
    /// When a rule is wrong, or none is left.
    pub fn compile(sources: &[Source]) -> Result<Self, RulesError> {
        let mut compiler = Compiler::new();
        // Rules that YARA takes are taken.
        compiler.relaxed_re_syntax(true);
        LEFT_OUT.iter().for_each(|&module| {
            compiler.ignore_module(module);
        });
        for source in sources {
            compiler.add_include_dir(&source.folder);
        }
        for source in sources {
            let code = SourceCode::from(source.text.as_slice()).with_origin(&source.name);
            // What is wrong is kept by the compiler, so that all of it can be told at once.
            let _ = compiler.add_source(code);
        }
        if !compiler.errors().is_empty() {
            let errors: Vec<String> = compiler.errors().iter().map(ToString::to_string).collect();
            return Err(RulesError(errors.join("\n")));
        }
        let notes = compiler.ignored_rules().map(|(rule, reason)| {
            let reason = match reason {
                IgnoredRuleReason::IgnoredModule(module) => {
                    format!("it needs the module {module}, which is about files")
                }
                IgnoredRuleReason::IgnoredRule(other) => format!("it needs the rule {other}"),
                IgnoredRuleReason::CompileError(error) => error.to_string(),
            };
            format!("the rule {rule} is left out: {reason}")
        });
        let notes: Vec<String> = notes.collect();
        let warnings = compiler.warnings().iter().map(ToString::to_string).collect();
        let compiled = compiler.build();
        if compiled.iter().next().is_none() {
            let message = match notes.is_empty() {
                true => "there are no rules in it".to_owned(),
                false => notes.join("\n"),
            };
            return Err(RulesError(message));
        }
        Ok(Self { compiled, notes, warnings })
    }
}

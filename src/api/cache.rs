//! What executions can take over from one another: a key that stands for all
//! that one was given, and the files that it made.

use serde::{Deserialize, Serialize};

use crate::domain::{ExecutionId, TaskId};

/// Stands for the command, the container, the options and the contents of
/// inputs and resources: equal where all of them are. Hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CacheKey(pub String);

/// What an execution made, told with its good end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CacheEntry {
    pub key: CacheKey,
    /// The folder that holds the files.
    pub output: String,
    pub files: Vec<CachedFile>,
}

/// An entry that was found, and whose it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CacheHit {
    pub execution: ExecutionId,
    pub task: TaskId,
    pub output: String,
    pub files: Vec<CachedFile>,
}

/// A file or an empty folder among the outputs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CachedFile {
    /// Relative to the folder of the outputs.
    pub name: String,
    /// None for a folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<CachedContent>,
}

/// What tells that a file is what it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CachedContent {
    pub bytes: u64,
    /// MD5 sum in hexadecimal digits: the one that most storage tells.
    pub md5: String,
}

/// Most files of one entry: with more, an execution is run anew each time.
pub const MAX_CACHED_FILES: usize = 10_000;

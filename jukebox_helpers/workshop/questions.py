"""The questions of the quizzes: two for each notebook."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Question:
    """One question.

    Attributes:
        name: What notebooks call it.
        text: The question.
        right: The number of the right answer, from 0.
        answers: Each answer with the explanation that follows it.
    """

    name: str
    text: str
    right: int
    answers: tuple[tuple[str, str], ...]


QUESTIONS = (
    Question(
        "loop",
        "You push a new data version to main. What makes the training start?",
        1,
        (
            ("The data pipeline calls the training when it is done.",
             "It knows nothing of the training. It ends with a commit, and that is all it does."),
            ("The push event that the git server sends.",
             "The git server tells a listener about the push; the listener starts the training of that very commit."),
            ("A clock that looks for new data every night.",
             "A clock can start the data pipeline. The training waits for a commit, so each has a reason in git."),
        ),
    ),
    Question(
        "branch",
        "You pushed a branch hello. Why was nothing trained?",
        2,
        (
            ("The branch has no new commit.", "True here, but a new commit on it would not be trained either."),
            ("Training is switched off until notebook 4.", "It is on: a push to main would be trained right now."),
            ("Only pushes to main are trained.",
             "The filter is: event push, branch main. Ideas live on branches and cost no computing time."),
        ),
    ),
    Question(
        "gitops",
        "Somebody makes a bucket by hand. What will the next class on a new cluster see?",
        0,
        (
            ("A cluster without that bucket.",
             "The file makes the new cluster, and the file does not know. What was clicked has no copy."),
            ("The bucket, because S3 remembers it.", "The old server does. The new cluster is made from the file."),
            ("An error, because the file and the server differ.",
             "Buckets that only the server knows are kept and reported, not refused. They are just not made again."),
        ),
    ),
    Question(
        "undo",
        "Your commit of config.yaml has a mistake, and it is on main. What is the cleanest way back?",
        1,
        (
            ("Delete the bucket on the server.", "The next time the file is applied, the bucket is back."),
            ("git revert, then push.",
             "The revert is a commit like any other: reviewed, applied, and the history says what happened and when."),
            ("git reset and a forced push.", "It works, but the mistake and the reason for the change are gone."),
        ),
    ),
    Question(
        "small-file",
        "The songs take megabytes. What does git hold of them?",
        2,
        (
            ("All bytes, compressed.", "Then every clone would carry every version for ever. The bytes are in S3."),
            ("Nothing: S3 has its own versions.", "Then a commit could not say which data belongs to it."),
            ("A small text file with their md5 and size.",
             "That is enough to find the very object in data-cache, and to notice when it has other bytes."),
        ),
    ),
    Question(
        "same-bytes",
        "You import the same bytes again under another file name. How many new objects has data-cache?",
        0,
        (
            ("None.", "The object is named after the hash of its bytes. The same bytes are the same object."),
            ("One.", "The name plays no part in the address; only the bytes do."),
            ("Two: data and version file.", "The version file is in git, and the bytes are there already."),
        ),
    ),
    Question(
        "overwrite",
        "The fresh songs have overwritten s3://data/song_properties.parquet. Where are the old ones?",
        1,
        (
            ("Gone.", "They are gone from the bucket data, but that is only where new data arrives."),
            ("In data-cache, under their md5.", "Nothing is ever overwritten there: other bytes have another address."),
            ("In the history of git.", "Git has the old version file, which says where the bytes are: in data-cache."),
        ),
    ),
    Question(
        "going-back",
        "Why go back with a new commit, and not with git reset --hard?",
        0,
        (
            ("Because the way back belongs to the history too.",
             "A model was perhaps trained on what you leave. Its revision must stay where it can be found."),
            ("Because DVC forbids it.", "DVC does not mind. But a reset throws away commits and uncommitted work."),
            ("Because reset is slower.", "It is fast, also at losing work."),
        ),
    ),
    Question(
        "why-fail",
        "The training stopped at its first step. Is that good?",
        2,
        (
            ("No, it should train on the newest data in the bucket.",
             "Then nobody could say later which bytes it was. The newest data may change while it trains."),
            ("No, it should use the last model's data.", "This revision names no data; any choice is a guess."),
            ("Yes: a revision without a data version cannot say what its model is made of.",
             "It fails early, names what is missing, and registers nothing."),
        ),
    ),
    Question(
        "git-version",
        "Why does the fetch step get git_version and not simply check out main?",
        1,
        (
            ("Because main is protected.", "It may be read freely."),
            ("Because main can move while the pipeline waits.",
             "Two pushes in a row would then train the same thing twice, and record the wrong revision."),
            ("Because it is faster.", "It costs the same."),
        ),
    ),
    Question(
        "cache",
        "The data pipeline runs daily with the same URL. What if Kubeflow's cache were on?",
        0,
        (
            ("The second day would get the first day's data.",
             "The cache's key holds the URL, never the bytes behind it. So caching is off in this pipeline."),
            ("Nothing: the cache notices new data.", "It cannot: it looks at inputs, command and image only."),
            ("The run would fail.", "Worse: it would be green, and stale."),
        ),
    ),
    Question(
        "no-news",
        "The daily run finds the very same bytes. What happens?",
        2,
        (
            ("A new commit with the same version file.", "There is nothing to commit, so there is no commit."),
            ("A training that gives the same model.", "Without a commit there is no push, and no training."),
            ("Nothing: no commit, no training.", "No news, no commit. Different bytes always make one."),
        ),
    ),
    Question(
        "lineage",
        "A model version records revision and data version. Why also the hash of the rankings?",
        1,
        (
            ("To find them faster.", "The hash is a name, but speed is not the reason."),
            ("Because the model saw them too, and their object is overwritten.",
             "One input without a hash is a hole: the model could not be rebuilt, and nobody would notice."),
            ("Because DVC needs it.", "DVC versions the songs here; the rankings are kept by their hash beside them."),
        ),
    ),
    Question(
        "bit-for-bit",
        "The rebuilt model has the same sha256. What does that prove?",
        0,
        (
            ("That the record names everything that the model depends on.",
             "If an input were missing from the record, the rebuilt bytes would differ sooner or later."),
            ("That the model is good.", "A bad model can be rebuilt just as well. The scores speak of quality."),
            ("That nobody can change the registry.", "It proves the record right, not that it is locked."),
        ),
    ),
    Question(
        "newer",
        "The second version's log-loss is a little higher than the first's. Is it worse?",
        1,
        (
            ("Yes, log-loss does not lie.", "It was measured on other songs: each version has its own held-out ones."),
            ("Not necessarily: they were scored on different songs.",
             "Compare them on the same songs. The gate does so with the previous version before it registers."),
            ("No, newer is always better.", "New data can be bad data. That is why there is a gate."),
        ),
    ),
    Question(
        "one-file",
        "Why are scaler and encoder inside the ONNX file?",
        2,
        (
            ("To make the file smaller.", "It gets a little larger."),
            ("Because ONNX cannot do without.", "It can: many models expect scaled inputs, and get unscaled ones."),
            ("So that model and preparation can never be of two versions.",
             "One file, one hash: you gave it raw features, and it did what the training did."),
        ),
    ),
)  # fmt: skip
"""All questions, in the order of the notebooks."""

"""Names that several modules share: buckets, objects, keys and columns, each written here only.

All are literals, so that they can travel into pipeline steps, each on its own.
"""

DATA_BUCKET = "data"
"""The loaded songs; DVC's remote ``data-source``."""

CACHE_BUCKET = "data-cache"
"""Every data version under its md5, and rankings under their sha256; DVC's remote ``s3-version``."""

PIPELINE_BUCKET = "pipeline"
"""What the steps of a run write, in a folder for each run."""

WANTED_BUCKETS = ("data", "data-cache")
"""What the workshop adds to the buckets that it starts with."""

SONGS_OBJECT = "song_properties.parquet"
VERSION_FILE = "song_properties.parquet.dvc"
SONGS_ADDRESS = "s3://data/song_properties.parquet"
INCOMING_OBJECT = "incoming/song_properties.parquet"
INCOMING_ADDRESS = "s3://data/incoming/song_properties.parquet"
"""Where each day's table arrives, before the data pipeline has looked at it."""

WORKSHOP_SONGS = 2_000
"""The size of the workshop's table: small, so that no cell takes longer than a minute."""

KINDS_OF_SONGS = ("first", "fresh", "same", "corrected", "broken", "drift")
"""What a day may bring; docs/data.md says what each is."""

RANKINGS_OBJECT = "song_rankings.parquet"
RANKINGS_ADDRESS = "s3://data/song_rankings.parquet"
SOURCE_ADDRESS = "remote://data-source/song_properties.parquet"

REMOTES = {"s3-version": "s3://data-cache", "data-source": "s3://data"}
"""DVC's remotes; the first is the default."""

CONNECTION = "aws-connection-"
"""A connection is the Secret of this name and its bucket's."""

S3_KEYS = ("AWS_S3_ENDPOINT", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_S3_BUCKET")
"""The keys of a connection that a step gets."""

# fmt: off
CONNECTION_KEYS = (
    "AWS_S3_ENDPOINT", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION", "AWS_S3_BUCKET",
)
# fmt: on
"""All keys of a connection."""

GIT_SECRET = "git-auth"
GIT_KEYS = ("username", "password")

FETCH_BOUNDS = {"bytes": 4_000_000_000, "spare": 100_000_000, "seconds": 3_600, "quiet": 60, "rate": 10_000}
"""What a source may take: bytes in all, bytes that stay free on the disk; seconds in all, seconds until it answers, and
after these, bytes a second."""

PARAMETERS_FILE = "3-prod_datascience/default_parameters.json"

MODEL = "jukebox"
"""The registered model."""

NOTEBOOK_COUNT = 10
"""The notebooks are numbered from 0."""

GIT_REVISION = "git revision"
GIT_REPOSITORY = "git repository"
DATA_HASH = "DVC training data hash"
DATA_PATH = "DVC data path"
DVC_REMOTES = "DVC remotes"
RANKINGS_HASH = "rankings sha256"
RANKINGS_SOURCE = "rankings source"
MODEL_HASH = "model sha256"
KIT_VERSION = "kit version"

# fmt: off
FEATURES = [
    "is_explicit", "duration_ms", "danceability", "energy", "key", "loudness", "mode", "speechiness", "acousticness",
    "instrumentalness", "liveness", "valence", "tempo",
]
"""The 13 raw inputs of the model, in order; a list, because that is what pandas takes for columns."""

SONG_COLUMNS = {
    "spotify_id": "string", "name": "string", "artists": "string", "event_timestamp": "timestamp[us]",
    "is_explicit": "bool", "duration_ms": "int64", "danceability": "double", "energy": "double", "key": "int64",
    "loudness": "double", "mode": "int64", "speechiness": "double", "acousticness": "double",
    "instrumentalness": "double", "liveness": "double", "valence": "double", "tempo": "double",
    "time_signature": "int64",
}
"""The columns of the songs table in order, with their Arrow types."""

RANKING_COLUMNS = {
    "spotify_id": "string", "name": "string", "artists": "string", "daily_rank": "int64", "daily_movement": "int64",
    "weekly_movement": "int64", "country": "string", "snapshot_date": "timestamp[us]", "popularity": "int64",
    "album_name": "string", "album_release_date": "timestamp[us]",
}
"""The columns of the rankings table in order, with their Arrow types."""

OTHER_NAMES = {
    "spotify_id": ["id", "track_id", "uri"], "name": ["track_name", "song_name", "title"],
    "artists": ["artist", "artist_name"], "event_timestamp": ["snapshot_date", "date"],
    "snapshot_date": ["event_timestamp", "date"], "is_explicit": ["explicit"], "tempo": ["bpm"],
    "daily_rank": ["rank", "position"], "country": ["region", "market"], "album_release_date": ["release_date"],
}
"""What the columns of both tables are called elsewhere."""
# fmt: on

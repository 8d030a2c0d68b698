-- The tables of a sandbox of version 1 that its registry was kept in, as MLflow 3 makes them; only what is read.
CREATE TABLE registered_models (name VARCHAR(256) NOT NULL, creation_time BIGINT, last_updated_time BIGINT,
  description VARCHAR(5000), workspace VARCHAR(63) DEFAULT 'default' NOT NULL, PRIMARY KEY (workspace, name));
CREATE TABLE model_versions (name VARCHAR(256) NOT NULL, version INTEGER NOT NULL, creation_time BIGINT,
  current_stage VARCHAR(20), source VARCHAR(500), workspace VARCHAR(63) DEFAULT 'default' NOT NULL,
  PRIMARY KEY (workspace, name, version));
CREATE TABLE model_version_tags ("key" VARCHAR(250) NOT NULL, value TEXT, name VARCHAR(256) NOT NULL,
  version INTEGER NOT NULL, workspace VARCHAR(63) DEFAULT 'default' NOT NULL,
  PRIMARY KEY (workspace, name, "key", version));
INSERT INTO registered_models (name, creation_time) VALUES
  ('jukebox', 1795580961002), ('song_hits', 1795580961031), ('empty', 1795580961038);
INSERT INTO model_versions (name, version, creation_time, current_stage, source) VALUES
  ('jukebox', 1, 1795580961010, 'None', 's3://models/jukebox/3f2c1d4e5a/model.onnx'),
  ('jukebox', 2, 1795580961025, 'None', 's3://models/jukebox/9b8a7c6d5e/model.onnx'),
  ('jukebox', 3, 1795580961041, 'None', 's3://elsewhere/by-hand'),
  ('jukebox', 4, 1795580961043, 'Deleted_Internal', 'REDACTED-SOURCE-PATH'),
  ('song_hits', 1, 1795580961034, 'None', 's3://models/song_hits/v1/model.onnx');
INSERT INTO model_version_tags (name, version, "key", value) VALUES
  ('jukebox', 1, 'version', '3f2c1d4e5a'), ('jukebox', 1, 'prod', 'false'),
  ('jukebox', 1, 'model sha256', '"aaaa"'), ('jukebox', 1, 'DVC training data hash', '"0123"'),
  ('jukebox', 1, 'metric.accuracy', '0.5'), ('jukebox', 1, 'metric.best', '1.0'), ('jukebox', 1, 'epochs', '3'),
  ('jukebox', 1, 'bytes', '5000000000'), ('jukebox', 1, 'converged', 'true'), ('jukebox', 1, 'note', '"über \"all\""'),
  ('jukebox', 2, 'version', '9b8a7c6d5e'), ('jukebox', 2, 'prod', 'true'), ('jukebox', 2, 'model sha256', '"bbbb"'),
  ('jukebox', 4, 'version', 'gone'), ('jukebox', 4, 'prod', 'false'),
  ('song_hits', 1, 'version', 'v1'), ('song_hits', 1, 'prod', 'false'), ('song_hits', 1, 'model sha256', '"cccc"');

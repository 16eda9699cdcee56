-- The table that the pipeline has: the application makes its rows and reads them.
CREATE TABLE jobs (
  id bigint PRIMARY KEY,
  url text NOT NULL,
  status text NOT NULL DEFAULT 'new',
  error_message text,
  created_at timestamptz NOT NULL DEFAULT now()
);
INSERT INTO jobs (id, url) SELECT number, 'https://example.org/' || number FROM generate_series(0, 39) AS number;

-- The image runs this once, as the administrator, when it makes a new database: the role of the consumers.
-- It may make tables in public, and owns nothing but those.
\getenv password CONSUMER_PASSWORD
CREATE ROLE jobstatus LOGIN PASSWORD :'password';
GRANT CREATE ON SCHEMA public TO jobstatus;

-- additive
CREATE TABLE "job_failures" (
	"name" text PRIMARY KEY NOT NULL,
	"failed_at" timestamp (3) with time zone NOT NULL,
	"problem" text NOT NULL
);

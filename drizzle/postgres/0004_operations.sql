-- additive
CREATE TABLE "job_failures" (
	"name" text PRIMARY KEY NOT NULL,
	"failed_at" timestamp (3) with time zone NOT NULL,
	"problem" text NOT NULL
);
--> statement-breakpoint
CREATE TABLE "server_secrets" (
	"version" text PRIMARY KEY NOT NULL,
	"state" text NOT NULL,
	"added_at" timestamp (3) with time zone NOT NULL,
	"activated_at" timestamp (3) with time zone,
	"retired_at" timestamp (3) with time zone,
	"audit_key" text
);
--> statement-breakpoint
ALTER TABLE "refresh_families" ADD COLUMN "secret_version" text;--> statement-breakpoint
ALTER TABLE "servers" ADD COLUMN "keys" text;--> statement-breakpoint
ALTER TABLE "servers" ADD COLUMN "secrets" text;--> statement-breakpoint
ALTER TABLE "servers" ADD COLUMN "called" text;--> statement-breakpoint
ALTER TABLE "servers" ADD COLUMN "heard" text;--> statement-breakpoint
ALTER TABLE "sessions" ADD COLUMN "secret_version" text;--> statement-breakpoint
ALTER TABLE "signing_keys" ADD COLUMN "longest_life" integer DEFAULT 0 NOT NULL;--> statement-breakpoint
CREATE UNIQUE INDEX "server_secrets_one_active" ON "server_secrets" USING btree ("state") WHERE state = 'active';--> statement-breakpoint
CREATE UNIQUE INDEX "server_secrets_one_next" ON "server_secrets" USING btree ("state") WHERE state = 'next';
ALTER TABLE "signing_keys" DROP COLUMN "longest_life";--> statement-breakpoint
ALTER TABLE "sessions" DROP COLUMN "secret_version";--> statement-breakpoint
ALTER TABLE "servers" DROP COLUMN "heard";--> statement-breakpoint
ALTER TABLE "servers" DROP COLUMN "called";--> statement-breakpoint
ALTER TABLE "servers" DROP COLUMN "secrets";--> statement-breakpoint
ALTER TABLE "servers" DROP COLUMN "keys";--> statement-breakpoint
ALTER TABLE "refresh_families" DROP COLUMN "secret_version";--> statement-breakpoint
DROP TABLE "server_secrets";--> statement-breakpoint
DROP TABLE "job_failures";
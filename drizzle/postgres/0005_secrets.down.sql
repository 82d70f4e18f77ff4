ALTER TABLE "sessions" DROP COLUMN "secret_version";--> statement-breakpoint
ALTER TABLE "refresh_families" DROP COLUMN "secret_version";--> statement-breakpoint
DROP TABLE "server_secrets";

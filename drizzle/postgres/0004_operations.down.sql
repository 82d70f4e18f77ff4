ALTER TABLE "servers" DROP COLUMN "heard";--> statement-breakpoint
ALTER TABLE "servers" DROP COLUMN "called";--> statement-breakpoint
ALTER TABLE "servers" DROP COLUMN "secrets";--> statement-breakpoint
ALTER TABLE "servers" DROP COLUMN "keys";
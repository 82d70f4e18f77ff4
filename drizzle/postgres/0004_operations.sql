-- additive
ALTER TABLE "servers" ADD COLUMN "keys" text;--> statement-breakpoint
ALTER TABLE "servers" ADD COLUMN "secrets" text;--> statement-breakpoint
ALTER TABLE "servers" ADD COLUMN "called" text;--> statement-breakpoint
ALTER TABLE "servers" ADD COLUMN "heard" text;
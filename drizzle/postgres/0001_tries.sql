-- additive
CREATE TABLE "tries" (
	"key" text PRIMARY KEY NOT NULL,
	"spent" integer NOT NULL,
	"ends_at" timestamp (3) with time zone NOT NULL
);
--> statement-breakpoint
CREATE INDEX "tries_ends" ON "tries" USING btree ("ends_at");
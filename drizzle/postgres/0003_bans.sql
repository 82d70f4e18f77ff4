-- additive
CREATE TABLE "bans" (
	"network" text PRIMARY KEY NOT NULL,
	"reason" text,
	"created_at" timestamp (3) with time zone NOT NULL,
	"created_by" text,
	"expires_at" timestamp (3) with time zone
);

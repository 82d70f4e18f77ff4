-- additive
ALTER TABLE "signing_keys" ADD COLUMN "longest_life" integer DEFAULT 0 NOT NULL;
-- additive
CREATE TABLE `audit_heads` (
	`name` text PRIMARY KEY NOT NULL,
	`seq` integer NOT NULL,
	`hash` text NOT NULL,
	`adopted` integer NOT NULL,
	`mac` text
);
--> statement-breakpoint
CREATE TABLE `bans` (
	`network` text PRIMARY KEY NOT NULL,
	`reason` text,
	`created_at` integer NOT NULL,
	`created_by` text,
	`expires_at` integer
);
--> statement-breakpoint
DROP INDEX `audit_events_at`;--> statement-breakpoint
DROP INDEX `audit_events_actor`;--> statement-breakpoint
ALTER TABLE `audit_events` ADD `personal_digest` text;--> statement-breakpoint
ALTER TABLE `audit_events` ADD `personal_salt` text;--> statement-breakpoint
ALTER TABLE `audit_events` ADD `seq` integer;--> statement-breakpoint
ALTER TABLE `audit_events` ADD `hash` text;--> statement-breakpoint
ALTER TABLE `audit_events` ADD `mac` text;--> statement-breakpoint
CREATE INDEX `audit_events_action` ON `audit_events` (`action`,`id`);--> statement-breakpoint
CREATE INDEX `audit_events_session` ON `audit_events` (`session_id`,`id`) WHERE session_id is not null;--> statement-breakpoint
CREATE UNIQUE INDEX `audit_events_seq` ON `audit_events` (`seq`) WHERE seq is not null;--> statement-breakpoint
CREATE INDEX `audit_events_unsealed` ON `audit_events` (`id`) WHERE seq is null;--> statement-breakpoint
CREATE INDEX `audit_events_actor` ON `audit_events` (`actor`,`id`) WHERE actor is not null;
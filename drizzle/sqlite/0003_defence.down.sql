DROP TABLE `bans`;--> statement-breakpoint
DROP TABLE `audit_heads`;--> statement-breakpoint
DROP INDEX `audit_events_unsealed`;--> statement-breakpoint
DROP INDEX `audit_events_seq`;--> statement-breakpoint
DROP INDEX `audit_events_session`;--> statement-breakpoint
DROP INDEX `audit_events_action`;--> statement-breakpoint
DROP INDEX `audit_events_actor`;--> statement-breakpoint
ALTER TABLE `audit_events` DROP COLUMN `mac`;--> statement-breakpoint
ALTER TABLE `audit_events` DROP COLUMN `hash`;--> statement-breakpoint
ALTER TABLE `audit_events` DROP COLUMN `seq`;--> statement-breakpoint
ALTER TABLE `audit_events` DROP COLUMN `personal_salt`;--> statement-breakpoint
ALTER TABLE `audit_events` DROP COLUMN `personal_digest`;--> statement-breakpoint
CREATE INDEX `audit_events_at` ON `audit_events` (`at`);--> statement-breakpoint
CREATE INDEX `audit_events_actor` ON `audit_events` (`actor`,`id`);
DROP TABLE `mails`;--> statement-breakpoint
DROP TABLE `challenges`;--> statement-breakpoint
DROP TABLE `tombstones`;--> statement-breakpoint
DROP INDEX `audit_events_actor`;--> statement-breakpoint
DROP INDEX `users_unverified`;--> statement-breakpoint
DROP INDEX `users_verified`;--> statement-breakpoint
DROP INDEX `users_disabled`;--> statement-breakpoint
DROP INDEX `users_updated`;--> statement-breakpoint
DROP INDEX `users_full_name_key`;--> statement-breakpoint
DROP INDEX `user_roles_role`;--> statement-breakpoint
ALTER TABLE `users` DROP COLUMN `revision`;--> statement-breakpoint
ALTER TABLE `users` DROP COLUMN `profile`;--> statement-breakpoint
ALTER TABLE `users` DROP COLUMN `locale`;--> statement-breakpoint
ALTER TABLE `users` DROP COLUMN `full_name_key`;--> statement-breakpoint
CREATE INDEX `user_roles_role` ON `user_roles` (`role`);
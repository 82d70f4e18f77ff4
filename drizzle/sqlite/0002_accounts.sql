-- additive
CREATE TABLE `challenges` (
	`user_id` text NOT NULL,
	`purpose` text NOT NULL,
	`secret_hash` text NOT NULL,
	`email` text NOT NULL,
	`email_key` text NOT NULL,
	`created_at` integer NOT NULL,
	`expires_at` integer NOT NULL,
	PRIMARY KEY(`user_id`, `purpose`),
	FOREIGN KEY (`user_id`) REFERENCES `users`(`id`) ON UPDATE no action ON DELETE cascade
);
--> statement-breakpoint
CREATE UNIQUE INDEX `challenges_secret` ON `challenges` (`secret_hash`);--> statement-breakpoint
CREATE INDEX `challenges_expires` ON `challenges` (`expires_at`);--> statement-breakpoint
CREATE TABLE `mails` (
	`id` text PRIMARY KEY NOT NULL,
	`kind` text NOT NULL,
	`state` text NOT NULL,
	`user_id` text,
	`content` text,
	`attempts` integer DEFAULT 0 NOT NULL,
	`due_at` integer NOT NULL,
	`created_at` integer NOT NULL,
	`sent_at` integer,
	`problem` text
);
--> statement-breakpoint
CREATE INDEX `mails_due` ON `mails` (`due_at`) WHERE state in ('asked', 'queued');--> statement-breakpoint
CREATE INDEX `mails_over` ON `mails` (`due_at`) WHERE state in ('sent', 'dead');--> statement-breakpoint
CREATE INDEX `mails_user` ON `mails` (`user_id`);--> statement-breakpoint
CREATE TABLE `tombstones` (
	`id` text PRIMARY KEY NOT NULL,
	`email` text NOT NULL,
	`email_key` text NOT NULL,
	`email_verified_at` integer,
	`username` text,
	`username_key` text,
	`full_name` text,
	`full_name_key` text,
	`locale` text,
	`profile` text,
	`password_hash` text,
	`disabled_at` integer,
	`created_at` integer NOT NULL,
	`last_login_at` integer,
	`roles` text NOT NULL,
	`deleted_at` integer NOT NULL
);
--> statement-breakpoint
CREATE INDEX `tombstones_email_key` ON `tombstones` (`email_key`);--> statement-breakpoint
CREATE INDEX `tombstones_username_key` ON `tombstones` (`username_key`);--> statement-breakpoint
CREATE INDEX `tombstones_deleted` ON `tombstones` (`deleted_at`);--> statement-breakpoint
DROP INDEX `user_roles_role`;--> statement-breakpoint
CREATE INDEX `user_roles_role` ON `user_roles` (`role`,`user_id`);--> statement-breakpoint
ALTER TABLE `users` ADD `full_name_key` text;--> statement-breakpoint
ALTER TABLE `users` ADD `locale` text;--> statement-breakpoint
ALTER TABLE `users` ADD `profile` text;--> statement-breakpoint
ALTER TABLE `users` ADD `revision` integer DEFAULT 0 NOT NULL;--> statement-breakpoint
CREATE INDEX `users_full_name_key` ON `users` (`full_name_key`,`id`);--> statement-breakpoint
CREATE INDEX `users_updated` ON `users` (`updated_at`,`id`);--> statement-breakpoint
CREATE INDEX `users_disabled` ON `users` (`id`) WHERE disabled_at is not null;--> statement-breakpoint
CREATE INDEX `users_verified` ON `users` (`id`) WHERE email_verified_at is not null;--> statement-breakpoint
CREATE INDEX `users_unverified` ON `users` (`id`) WHERE email_verified_at is null;--> statement-breakpoint
CREATE INDEX `audit_events_actor` ON `audit_events` (`actor`,`id`);--> statement-breakpoint
UPDATE `users` SET `full_name_key` = lower(`full_name`) WHERE `full_name` IS NOT NULL;
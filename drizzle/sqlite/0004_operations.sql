-- additive
CREATE TABLE `job_failures` (
	`name` text PRIMARY KEY NOT NULL,
	`failed_at` integer NOT NULL,
	`problem` text NOT NULL
);
--> statement-breakpoint
CREATE TABLE `server_secrets` (
	`version` text PRIMARY KEY NOT NULL,
	`state` text NOT NULL,
	`added_at` integer NOT NULL,
	`activated_at` integer,
	`retired_at` integer,
	`audit_key` text
);
--> statement-breakpoint
CREATE UNIQUE INDEX `server_secrets_one_active` ON `server_secrets` (`state`) WHERE state = 'active';--> statement-breakpoint
CREATE UNIQUE INDEX `server_secrets_one_next` ON `server_secrets` (`state`) WHERE state = 'next';--> statement-breakpoint
ALTER TABLE `refresh_families` ADD `secret_version` text;--> statement-breakpoint
ALTER TABLE `servers` ADD `keys` text;--> statement-breakpoint
ALTER TABLE `servers` ADD `secrets` text;--> statement-breakpoint
ALTER TABLE `servers` ADD `called` text;--> statement-breakpoint
ALTER TABLE `servers` ADD `heard` text;--> statement-breakpoint
ALTER TABLE `sessions` ADD `secret_version` text;--> statement-breakpoint
ALTER TABLE `signing_keys` ADD `longest_life` integer DEFAULT 0 NOT NULL;
-- additive
CREATE TABLE `bans` (
	`network` text PRIMARY KEY NOT NULL,
	`reason` text,
	`created_at` integer NOT NULL,
	`created_by` text,
	`expires_at` integer
);

-- additive
ALTER TABLE `servers` ADD `keys` text;--> statement-breakpoint
ALTER TABLE `servers` ADD `secrets` text;--> statement-breakpoint
ALTER TABLE `servers` ADD `called` text;--> statement-breakpoint
ALTER TABLE `servers` ADD `heard` text;
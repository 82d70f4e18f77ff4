DROP TABLE `servers`;--> statement-breakpoint
DROP TABLE `jobs`;--> statement-breakpoint
DROP TABLE `audit_events`;--> statement-breakpoint
DROP TABLE `signing_keys`;--> statement-breakpoint
DROP TABLE `refresh_families`;--> statement-breakpoint
DROP TABLE `sessions`;--> statement-breakpoint
DROP TABLE `user_roles`;--> statement-breakpoint
DROP TABLE `roles`;--> statement-breakpoint
DROP TABLE `users`;

//! The SDK from end to end: what a commit in a real Git repository does to a cluster, through
//! every part as a program composes them.

//BI mod bad_input;
mod cluster;
mod command;
//CO mod corpus;
mod gitopsctl;
//WO mod world;
